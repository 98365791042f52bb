"""The state of a process that a trial may change: settings, and what modules hold.

Must import nothing of `runner` but `errors`.
"""
