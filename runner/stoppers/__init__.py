"""Stoppers: decide from what trials report which of them end early.

`stopper.py` is the contract. Must not import `torch`. Must import nothing of `runner` but
`errors`, `goals`, `quiet_optuna`, `trial`.
"""
