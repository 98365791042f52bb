"""Terminal output: progress, tables, counts. It decides nothing about how a search continues.

Must not import `torch`. Must import nothing of `runner` but `config`, `goals`, `masking`,
`ranking`, `repeats`, `space`, `trial`.
"""
