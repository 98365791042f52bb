"""Engines: turn a sample into a model that a worker can build.

`engine.py` is the contract. Must not import `strategies`, `evaluators`, `training`, `mutators`,
`store`, `worker`.
"""
