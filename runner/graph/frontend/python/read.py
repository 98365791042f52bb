"""Reads the modules of a model from their Python source."""

from typing import final

from torch import Tensor, nn

from runner.graph.frontend.reading.opaque import is_opaque
from runner.graph.frontend.reading.read_module import ReadModule
from runner.graph.ir.function import Function


@final
class PythonFrontEnd:
    """The front end that reads Python source."""

    def read(
        self, model: nn.Module, functions: dict[str, Function], tensors: dict[str, Tensor]
    ) -> dict[int, ReadModule]:
        """Returns the read modules of a model by their ids; see `FrontEnd.read`."""
        unread = ReadModule("not written yet")
        return {id(module): unread for module in model.modules() if not is_opaque(module)}
