"""The interpreter: runs a graph on real or meta tensors; shape propagation."""
