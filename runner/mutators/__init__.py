"""Mutators for configs, each a module on top of `runner.graph`.

Must not import `engines`, `graph.frontend`, `graph.validation`, `graph.weight_transfer`.
"""
