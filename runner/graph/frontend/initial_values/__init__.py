"""Expressions of first values: how parameters and buffers are made and filled."""
