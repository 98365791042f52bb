"""Cross-model optimization: trains several models as one fused program. `fuse.py` is the overview.

Must not import `engines`, `evaluators`, `graph.codegen`, `graph.transforms`, `mutators`.
"""
