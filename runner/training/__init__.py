"""Training services: run jobs in workers.

`service.py` is the contract. Imports no model and no strategy.
"""
