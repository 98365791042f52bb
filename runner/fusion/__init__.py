"""Cross-model optimization: several models trained as one program.

Imports the graph, and no engine.
"""
