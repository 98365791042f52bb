"""Fused kernels: one launch for equal operations of several models; one module per family.

Must not import `fusion.fuse`, `fusion.optimizers`, `fusion.tracing`.
"""
