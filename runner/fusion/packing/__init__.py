"""Packing: tensors, layouts and random numbers that several models share in one launch.

Must import nothing of `runner` but `errors`, `nested`.
"""
