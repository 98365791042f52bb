"""Structured control flow: recovers breaks, continues and returns that TorchScript took apart.

Must not import `graph.codegen.functions`, `graph.codegen.classes`, `graph.codegen.copied_methods`.
"""
