"""Desugaring: rewrites Python before TorchScript reads it, so that both mean the same by it."""
