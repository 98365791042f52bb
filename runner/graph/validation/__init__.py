"""Translation validation: runs generated source beside the original model.

Must not import `graph.channels`, `graph.weight_transfer`.
"""
