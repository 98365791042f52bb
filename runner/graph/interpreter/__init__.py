"""A graph that runs: on tensors, or on nothing but their shapes."""
