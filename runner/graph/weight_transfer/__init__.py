"""Weight transfer: initializes a mutated model from the weights of the model it derives from.

Imports no engine.
"""
