"""Search spaces: choices, samples, and the structure of a space.

Imports no torch, and of the package only `errors`.
"""
