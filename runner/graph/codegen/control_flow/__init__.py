"""Structured control flow: recovers breaks, continues and returns that TorchScript took apart."""
