"""Code generation: from a graph to source that a person would write. `generate.py` is the overview.

Imports neither the front end nor a transform.
"""
