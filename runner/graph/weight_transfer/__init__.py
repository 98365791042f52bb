"""Weight transfer: initial values of a mutated model from the weights of the one it was made of."""
