"""From the weights of one model to the first values of another that was made of it by mutations."""
