"""Provenance: traces how each module and tensor of a model is made while its Python runs.

Must not import `graph`, `space`, `nn.symbolic`, `nn.equality`, `nn.layer`.
"""
