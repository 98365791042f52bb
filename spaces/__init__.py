"""Built-in model spaces, one per file."""
