"""Tracing: flattens a graph into a program, a straight-line list of functional steps."""
