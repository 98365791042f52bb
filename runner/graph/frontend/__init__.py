"""From a model to its graph: the front end, which reads TorchScript."""
