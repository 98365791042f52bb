"""Data sets: `data.py` is the contract; every other module is one option and imports no sibling."""
