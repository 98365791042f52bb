"""Terminal output: progress, tables, counts.

Must not import anything that decides how a search continues.
"""
