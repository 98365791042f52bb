"""The interpreter: runs a graph on real or meta tensors; shape propagation.

Must not import `graph.frontend`, `graph.codegen`, `graph.transforms`.
"""
