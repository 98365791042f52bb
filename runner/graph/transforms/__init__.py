"""Transforms: mutations of a graph, resolution of choices, alias analysis.

Imports neither channel propagation nor weight transfer.
"""
