"""Optimizer steps of several models with packed parameters."""
