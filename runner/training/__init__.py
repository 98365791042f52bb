"""Training services: run jobs in workers.

`service.py` is the contract. Must not import models or strategies.
"""
