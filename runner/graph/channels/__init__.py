"""Channel propagation: which layers and operands follow when a width changes.

Imports no code generation.
"""
