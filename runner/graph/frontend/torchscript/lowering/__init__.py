"""Lowering of TorchScript methods to functions of the IR: one rule per node kind, by topic.

Must not import `graph.frontend.torchscript.desugar`.
"""
