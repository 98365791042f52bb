"""What every front end knows of a model and returns for it.

Must not import `graph.frontend.torchscript`, `graph.frontend.live_modules`.
"""
