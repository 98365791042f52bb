"""From a model to its graph."""

import sys

from torch import nn

from runner.errors import GraphError
from runner.graph.reading.torchscript import Reader
from runner.graph.reading.units import Units
from runner.graph.unit import Graph


def convert(model: nn.Module) -> Graph:
    """The graph of a model. What could not be read is said in its `notes`.

    Raises GraphError on a Python that TorchScript does not support.
    """
    if sys.version_info >= (3, 14):
        raise GraphError(
            "The graph engines read models through TorchScript, which ends at Python 3.13; this "
            f"is {sys.version_info.major}.{sys.version_info.minor}. Use engine=py, or Python 3.13."
        )
    reader = Reader(model)
    with reader.reading():
        reader.read()
    return Units(model, reader).graph()
