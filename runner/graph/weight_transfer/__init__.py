"""Weight transfer: initializes a mutated model from the weights of the model it derives from.

Must not import `engines`, `graph.frontend`, `graph.codegen`, `weights`.
"""
