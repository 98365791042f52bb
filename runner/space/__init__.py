"""Search spaces: choices, samples, and the structure of a space.

Must not import `torch`. Must import nothing of `runner` but `errors`.
"""
