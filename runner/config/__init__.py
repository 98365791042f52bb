"""The configuration: what Hydra composes, checked before anything runs.

Knows no torch, no engine.
"""
