"""Programs: models as lists of steps; their print, their JSON, and the source of a fused one.

Must not import `fusion.kernels`, `fusion.optimizers`, `fusion.tracing`, `graph.frontend`.
"""
