"""Mutators for configs, each a module on top of `runner.graph`.

Imports no engine.
"""
