"""Optimizers that step several models with packed parameters.

Must import nothing of `runner` but `fusion.packing`.
"""
