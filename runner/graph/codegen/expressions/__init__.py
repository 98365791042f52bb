"""Expressions of generated source: constants, calls, operators, imports, line breaking.

Must not import `graph.codegen.functions`, `graph.codegen.classes`, `graph.codegen.control_flow`.
"""
