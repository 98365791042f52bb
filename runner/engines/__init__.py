"""Engines: what becomes of a sample of a space. One file each; `engine.py` is the contract."""
