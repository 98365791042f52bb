"""Python front end: a partial evaluator of the source of a model's methods.

What is known when the model is converted (plain attributes, the structure of modules, globals) is
evaluated in Python itself; what depends on inputs, weights, the mode or random numbers becomes
nodes. `read.py` is the overview. Must not import `graph.frontend.torchscript`,
`graph.frontend.live_modules`, `graph.frontend.initial_values`, `graph.frontend.grades`.
"""
