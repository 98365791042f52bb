"""Channel propagation: finds the layers and operands that have to follow a change of width.

Imports no code generation.
"""
