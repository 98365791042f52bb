"""Evaluators: train a model and measure it.

`evaluator.py` is the contract. Imports no engine and no strategy.
"""
