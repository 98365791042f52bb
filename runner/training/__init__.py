"""Training services: run jobs in workers.

`service.py` is the contract. Must import nothing of `runner` but `another_process`, `data.held`,
`errors`, `evaluators`, `failures`, `held_lock`, `process_care`, `trial`, `whole_files`, `worker`,
`worker_device`.
"""
