"""Functions of generated source: dead-code elimination, expression folding, variables, statements.."""
