"""Data sets. `data.py` is the contract; every other module is one option, without siblings."""
