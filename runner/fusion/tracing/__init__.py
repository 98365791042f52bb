"""Tracing: from a graph to a program, one straight list of functional steps."""
