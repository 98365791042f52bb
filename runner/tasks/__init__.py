"""Tasks: the commands of the program, `search` and `describe`. `task.py` is the contract.

Must not import `worker`, `evaluators`, `strategies`, `mutators`.
"""
