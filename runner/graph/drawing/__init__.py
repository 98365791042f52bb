"""Pictures of graphs, as SVG.

Must not import `graph.frontend`, `graph.codegen`, `graph.transforms`, `display`.
"""
