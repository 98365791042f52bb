"""Strategies: propose samples and learn from their results.

`strategy.py` is the contract; only `rl.py` needs torch. Must import nothing of `runner` but
`errors`, `fidelity`, `goals`, `quiet_optuna`, `ranking`, `repeats`, `space`, `trial`.
"""
