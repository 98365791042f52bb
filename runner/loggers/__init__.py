"""Loggers: where the trials of a run are shown besides its record, such as TensorBoard.

Must not import `engines`, `evaluators`, `training`, `graph`, `torch`.
"""
