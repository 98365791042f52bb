"""Live modules: module state outside `forward`, such as hooks, overrides and parametrizations.

Must not import `graph.frontend.initial_values`, `graph.frontend.torchscript`.
"""
