"""The front end that reads the Python source of modules.

Must not import `graph.frontend.torchscript`, `graph.frontend.live_modules`.
"""
