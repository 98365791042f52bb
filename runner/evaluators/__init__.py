"""Evaluators: train and score models.

`evaluator.py` is the contract. Must not import engines or strategies.
"""
