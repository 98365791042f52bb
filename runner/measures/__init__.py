"""Measures: figures of a model that need no training, such as its parameters or its latency.

Must not import `engines`, `evaluators`, `training`, `graph`.
"""
