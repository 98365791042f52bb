"""The intermediate representation: nodes, functions, units, graphs, and lint.

Imports no other package of `graph`.
"""
