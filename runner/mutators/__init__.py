"""Mutators that a config can name, each one module over the API of `runner.graph`.

Imports no engine.
"""
