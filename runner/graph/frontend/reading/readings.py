"""What several front ends read of one model."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import final

from torch import Tensor, nn

from runner.errors import GraphError, one_line
from runner.graph.frontend.reading.read_module import FrontEnd, ReadModule
from runner.graph.ir.function import Function


@final
class Readings:
    """The readings of a model by front ends, in their order. Each reads the model when it is first
    asked, and adds to `functions` and `tensors`; see `FrontEnd.read`.

    If one raises an error, that is a problem of each module; if all do, the last error is raised.
    """

    def __init__(self, model: nn.Module, frontends: Mapping[str, Callable[[], FrontEnd]]) -> None:
        self.model = model
        self.functions: dict[str, Function] = {}
        self.tensors: dict[str, Tensor] = {}
        self._frontends = frontends
        self._read: dict[str, Mapping[int, ReadModule]] = {}
        self._failed: set[str] = set()

    def of(self, module: nn.Module) -> Iterator[tuple[str, ReadModule]]:
        """Yields the readings of a module that is not opaque, each with the name of its front
        end."""
        for name in self._frontends:
            yield name, self._by(name)[id(module)]

    def is_read(self, module: nn.Module) -> bool:
        """Returns whether a front end can read the methods of a module."""
        return any(not found.problem for _, found in self.of(module))

    def _by(self, name: str) -> Mapping[int, ReadModule]:
        if name not in self._read:
            try:
                frontend = self._frontends[name]()
                self._read[name] = frontend.read(self.model, self.functions, self.tensors)
            except Exception as error:  # of one model; another front end may read it
                self._failed.add(name)
                if self._failed == self._frontends.keys():
                    raise
                self._read[name] = defaultdict(partial(ReadModule, _problem_of(error)))
        return self._read[name]


def _problem_of(error: Exception) -> str:
    return str(error).rstrip(".") if isinstance(error, GraphError) else one_line(error)
