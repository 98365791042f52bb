"""The intermediate representation: graphs, units, functions, nodes, and lint.

Imports no other room of `graph`.
"""
