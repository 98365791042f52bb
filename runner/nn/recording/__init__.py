"""Records of how each module and tensor of a model was made, taken while its Python runs."""
