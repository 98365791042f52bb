"""Functions of generated source: dead-code elimination, folding, variables, statements."""
