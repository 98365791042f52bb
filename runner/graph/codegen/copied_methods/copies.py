"""Copied methods for the units of a graph; units that cannot have any must import their class."""

from typing import Any, final

from torch import nn

from runner.errors import GraphError
from runner.graph.class_source.scopes import Uncopied
from runner.graph.codegen.copied_methods.methods import Copy, MethodCopies
from runner.graph.ir.graph import Graph
from runner.graph.ir.signature import locate
from runner.graph.ir.unit import Unit


@final
class Copies:
    """The copied methods of all units that inherit; `problems` says why some have none."""

    def __init__(self, graph: Graph) -> None:
        self.problems: dict[Unit, str] = {}
        self._units = [unit for _, unit in graph.root.walk() if unit.inherits]
        self._found: dict[Unit, Copy] = {}
        self._made = MethodCopies()
        kept = [unit for _, unit in graph.root.walk() if unit.grade in ("shell", "basic")]
        self._kept = [cls for unit in kept if (cls := _class(unit)) is not None]
        used, before = frozenset[str](), None
        while used != before:  # to a fixed point: methods may use those of other units
            before = used
            for unit in self._units:
                self._copy(unit, used)
            used = used.union(*(copy.names for copy in self._found.values()))

    def of(self, unit: Unit) -> Copy | None:
        """Returns the methods copied for a unit; None if it must, or need not, inherit."""
        return self._found.get(unit)

    def _copy(self, unit: Unit, used: frozenset[str]) -> None:
        if unit in self.problems:
            return
        has = frozenset({*unit.attributes, *unit.children, *unit.parameters, *unit.buffers})
        try:
            functions = frozenset(unit.functions)
            found = self._made.of(_class(unit), container_of(unit), has, functions, used)
            self._check_asked(found)
        except Uncopied as problem:
            self.problems[unit] = str(problem)
            self._found.pop(unit, None)
        else:
            self._found[unit] = found

    def _check_asked(self, found: Copy) -> None:
        """Raises Uncopied if a copy tests by isinstance for a class with imported instances."""
        for target in sorted(found.asked):
            asked = locate(target)
            if any(issubclass(cls, asked) for cls in self._kept):
                raise Uncopied(f"it tests for {asked.__name__}, a class with imported instances")


def container_of(unit: Unit) -> Any:
    """Returns the class of torch that the generated class of a unit derives from."""
    cls = _class(unit)
    return next((base for base in CONTAINERS if issubclass(cls, base)), nn.Module)


CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict)


def _class(unit: Unit) -> Any:
    try:
        cls = locate(unit.cls.target)
    except GraphError:
        return None
    return cls if isinstance(cls, type) else None
