"""Evaluators: what a model is worth. One file each; `evaluator.py` is the contract."""
