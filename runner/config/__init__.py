"""Configuration: composition by Hydra, and settings validated before anything runs.

Must not import torch, nor anything that runs a search.
"""
