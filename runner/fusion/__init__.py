"""Several models as one: their programs, what runs them together, and what trains them."""
