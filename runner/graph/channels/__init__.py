"""Widths: how many channels layers give, and how all that depends on them follows."""
