"""Expressions of generated source: constants, calls, operators, imports, line breaking."""
