"""Configuration: composition by Hydra, and settings validated before anything runs.

Must not import `torch`. Must import nothing of `runner` but `errors` and `run_folder`.
"""
