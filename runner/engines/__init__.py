"""Engines: from a sample to a model that a worker can build.

`engine.py` is the contract. Imports no strategy, no evaluator and no training service.
"""
