"""Live modules: what they hold beside code, such as hooks, overrides and parametrizations."""
