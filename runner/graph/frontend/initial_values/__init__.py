"""Initial values: expressions that make and fill parameters and buffers.

Must not import `graph.frontend.convert`, `graph.frontend.grades`,
`graph.frontend.torchscript`.
"""
