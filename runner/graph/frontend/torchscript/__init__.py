"""TorchScript: compiles a model's methods and lowers them to functions of the graph.

All that knows TorchScript's types, schemas and nodes is here.
"""
