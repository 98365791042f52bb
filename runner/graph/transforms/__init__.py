"""Transforms of a graph: mutations, resolution of choices, alias analysis.

No front end, no codegen.
"""
