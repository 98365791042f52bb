"""Sweeps: their members, what is recorded of them, how they go on, and a search over any keys.

Must not import `torch`, `tasks`.
"""
