"""Desugaring: rewrites constructs that TorchScript would compile to something else than Python.

Must not import `graph.frontend.torchscript.compilation`, `graph.frontend.torchscript.lowering`,
`graph.ir`.
"""
