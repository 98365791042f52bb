"""Kernels: one launch for equal operations of several models. One module for each family."""
