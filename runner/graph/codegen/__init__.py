"""Code generation: from a graph to idiomatic Python source. `generate.py` is the overview.

Must not import `graph.frontend`, `graph.transforms`, `graph.channels`, `graph.validation`.
"""
