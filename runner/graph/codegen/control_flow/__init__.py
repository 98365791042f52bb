"""Breaks, continues and returns that TorchScript took apart, put together again."""
