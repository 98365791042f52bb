"""Data sets: `data.py` is the contract, most other modules are one option each.

Must import nothing of `runner` but `errors`.
"""
