"""Optimizers that step several models with packed parameters."""
