"""The source and bytecode of users' classes: definitions, scopes, names.

Shared by the front end and code generation. Must not import `graph.frontend`, `graph.codegen`,
`graph.ir`.
"""
