"""Configuration: Hydra's composition, and the settings that are checked before anything runs.

Imports no torch, and nothing that runs a search.
"""
