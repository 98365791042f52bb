"""Tables: published results of architectures, looked up instead of training them.

`table.py` is the contract. Must not import `torch`, `engines`, `evaluators`, `strategies`,
`training`, `config`.
"""
