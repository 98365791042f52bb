"""TorchScript front end: compiles the methods of a model and lowers them to functions of the IR.

The files here are access to TorchScript's types, schemas and nodes; `compilation`, `desugar` and
`lowering` are made of them. The rest of the front end reads no schema and no node. Must not import
`graph.frontend.live_modules`, `graph.frontend.initial_values`, `graph.frontend.grades`.
"""
