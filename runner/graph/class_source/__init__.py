"""The source and bytecode of users' classes: definitions, scopes, names.

Shared by `frontend` and `codegen`.
"""
