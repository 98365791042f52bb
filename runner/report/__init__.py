"""The report of a run: one HTML file that holds all it shows, opens without network, and runs no
script but its own.

Must not import `torch`. Must import nothing of `runner` but `another_process`, `config`,
`constraints`, `display`, `errors`, `fidelity`, `goals`, `learning_curves`, `quiet_optuna`,
`ranking`, `repeats`, `resume`, `space`, `store`, `trial`, `whole_files`.
"""
