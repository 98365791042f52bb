"""All that knows TorchScript: compilation, schemas, lowering.

Nothing outside imports torch._C for it.
"""
