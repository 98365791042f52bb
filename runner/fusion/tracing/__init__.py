"""Tracing: flattens a graph into a program, a straight-line list of functional steps.

Must not import `fusion.kernels`, `fusion.optimizers`, `fusion.packing`, `graph.codegen`.
"""
