"""The intermediate representation: nodes, functions, units, graphs, and their verification.

Imports no other package of `graph`.
"""
