"""The front end: from a model to its graph. `convert.py` is the overview.

Must not import `graph.codegen`, `graph.transforms`, `graph.channels`, `graph.interpreter`.
"""
