"""The front end: from a model to its graph. `convert.py` is the overview.

Imports no transform.
"""
