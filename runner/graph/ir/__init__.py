"""The intermediate representation: nodes, functions, units, graphs, and their verification.

Must import nothing of `runner` but `errors`, `nested`, `operators`, `probing`, `nn`.
"""
