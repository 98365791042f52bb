"""Code generation: from a graph to idiomatic Python source. `generate.py` is the overview.

Imports neither the front end nor a transform.
"""
