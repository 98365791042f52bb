"""TorchScript front end: compiles the methods of a model and lowers them to functions of the IR.

All code that depends on TorchScript's types, schemas and nodes is here; nothing here may import
from the rooms of a graph above (transforms, channels).
"""
