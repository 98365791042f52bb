"""Channel propagation: finds the layers and operands that have to follow a change of width.

Must not import `graph.codegen`, `graph.frontend`, `graph.weight_transfer`, `graph.validation`.
"""
