"""Translation validation: runs generated source beside the original model.

Imports neither channel propagation nor weight transfer.
"""
