"""Values of choices: the build that decides them, and expressions while they are undecided.

Must not import `nn.recording`, `operators`, `graph`.
"""
