"""Transforms of graphs: mutations, resolution of choices, alias analysis.

Must not import `graph.channels`, `graph.weight_transfer`, `graph.validation`, `mutators`.
"""
