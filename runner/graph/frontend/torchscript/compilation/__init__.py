"""Compilation of a model's modules by TorchScript, and what it assumed about their types.

Must not import `graph.frontend.torchscript.lowering`.
"""
