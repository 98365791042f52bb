"""Functions of generated source: dead-code elimination, folding, variables, statements.

Must not import `graph.codegen.classes`, `graph.codegen.copied_methods`.
"""
