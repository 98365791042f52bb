"""Search spaces: choices, samples, and the structure of a space.

Must not import torch, nor anything of the package but `errors`.
"""
