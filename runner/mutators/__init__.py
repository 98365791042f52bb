"""Mutators that a config can name: each is one file, over nothing but `runner.graph`."""
