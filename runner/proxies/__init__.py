"""Zero-cost proxies: scores of untrained models on one batch, which are to tell good ones from bad.

Must not import `engines`, `evaluators`, `training`, `graph`.
"""
