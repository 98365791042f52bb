"""Recording: how each module and tensor of a model was made, traced while its Python runs."""
