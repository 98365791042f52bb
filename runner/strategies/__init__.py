"""Strategies: propose samples and learn from their results.

`strategy.py` is the contract. Imports no torch, no engine and no evaluator.
"""
