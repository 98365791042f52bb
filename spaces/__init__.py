"""The model spaces that come with the runner, one per file."""
