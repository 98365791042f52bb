"""Fused kernels: one launch for equal operations of several models; one module per family."""
