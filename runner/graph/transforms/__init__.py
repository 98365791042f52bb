"""Transforms of graphs: mutations, resolution of choices, alias analysis.

Imports neither channel propagation nor weight transfer.
"""
