"""Terminal output: progress, tables, counts.

Imports nothing that decides how a search goes on.
"""
