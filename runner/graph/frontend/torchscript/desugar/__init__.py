"""Desugaring: rewrites constructs that TorchScript would compile to something else than Python."""
