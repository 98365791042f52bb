"""Tasks: what a command does, such as `search` and `describe`. `task.py` is the contract."""
