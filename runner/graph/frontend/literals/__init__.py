"""Literals: Python objects as constants of the IR, and the comparison that verifies them."""
