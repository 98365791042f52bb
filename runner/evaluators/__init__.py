"""Evaluators: train and score models.

`evaluator.py` is the contract. Must not import `graph`, `engines`, `strategies`, `training`,
`config`.
"""
