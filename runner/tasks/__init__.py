"""Tasks: the commands of the program, such as `search` and `describe`. `task.py` is the
contract."""
