"""Cross-model optimization: trains several models as one fused program.

Imports the graph, but no engine.
"""
