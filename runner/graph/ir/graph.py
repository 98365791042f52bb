"""Graph: a model as units, with what they share, and the history of what was done to it."""

import fnmatch
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

from runner.errors import GraphError
from runner.graph.ir.moves import Move
from runner.graph.ir.node import Function, Node, Op
from runner.graph.ir.printer import graph_text
from runner.graph.ir.unit import Grade, Unit, labels

if TYPE_CHECKING:
    from runner.graph.ir.width_source import Source


@final
@dataclass(frozen=True)
class Note:
    """What a front end could not read: where, why, and what was done instead."""

    path: str
    cls: str
    text: str  # one or several sentences
    lost: bool = False  # whether the graph does something else than the model

    def __str__(self) -> str:
        return f"{self.path or 'the model'} ({self.cls}): {self.text}"


@final
class Graph:
    """A model: its units, functions of its own, and what was done to it.

    `ties` are (path, path of the owner) of parameters that are one tensor under two names, where
    the modules that hold them are two. `tensors` are constants without a short expression.
    `example` is the shape of one example, without the batch; None where it is not known. `widths`
    are what sets a width, by the label of the choice that did.
    """

    def __init__(self, root: Unit) -> None:
        self.root = root
        self.functions: dict[str, Function] = {}
        self.ties: list[tuple[str, str]] = []
        self.tensors: dict[str, Any] = {}  # name -> torch.Tensor
        self.notes: list[Note] = []
        self.history: list[str] = []  # a sentence for each mutation
        self.example: tuple[int, ...] | None = None
        self.widths: dict[str, list[Source]] = {}

    def copy(self, root: Unit | None = None) -> "Graph":
        """A copy to be changed; cheap, since functions of units are shared until they are asked
        for. A `root` given takes the place of a copy of this one's."""
        twin = Graph(self.root.copy({}) if root is None else root)
        twin.functions = {name: function.clone() for name, function in self.functions.items()}
        twin.ties = [*self.ties]
        twin.tensors = {**self.tensors}
        twin.notes = [*self.notes]
        twin.history = [*self.history]
        twin.example = self.example
        twin.widths = {**self.widths}
        return twin

    def shape(self) -> tuple[int, ...]:
        """The shape of an example. Raises GraphError where none is known."""
        if self.example is None:
            raise GraphError(
                "The shape of what the model is given is not known; set space.input, for example "
                "to [3, 32, 32]."
            )
        return self.example

    # Queries

    def unit(self, path: str) -> Unit:
        """The unit at a path. Raises GraphError, naming near ones, when there is none."""
        return self.root.at(path)

    def units(self, *, cls: str = "", path: str = "", label: str = "") -> list[tuple[str, Unit]]:
        """(path, unit) of all units that fit, parents first.

        `cls` is the name of a class, or its whole "module:qualname"; `path` may hold wildcards
        (`layer?.*.conv1`, `*` stands for any text, dots too); `label` is that of a choice or of a
        Placeholder.
        """
        return [
            (here, unit)
            for here, unit in self.root.walk()
            if not cls or cls in (unit.name, unit.cls.target)
            if not path or fnmatch.fnmatchcase(here, path)
            if not label or label in labels(unit)
        ]

    def nodes(
        self, *, op: Op | None = None, target: str = "", path: str = ""
    ) -> list[tuple[Unit, Node]]:
        """(unit, node) of all nodes that fit, to be read and changed; looking changes nothing.

        `target` is a node's whole target, or what stands behind its colon ("relu" for
        "torch.nn.functional:relu"); `path` fits the unit, as in `units`.
        """
        found = []
        for _, unit in self.units(path=path):
            for name, function in [*unit.functions.items()]:
                places = [
                    place
                    for place, node in enumerate(function.nodes)
                    if op is None or node.op == op
                    if not target or target in (node.target, node.target.rpartition(":")[2])
                ]
                if places:
                    nodes = unit.edit(name).nodes
                    found += [(unit, nodes[place]) for place in places]
        return found

    def replace(self, path: str, unit: Unit) -> None:
        """Put another unit at a path. Raises GraphError when there is none, or it is the root.

        What the model does to the unit once it is built goes with it: calls that fill its weights
        (`Unit.starts`), attributes that are set (`edits`) and tied parameters. They stay for a unit
        that the new one holds as a child: `Unit.of("torch.nn:Sequential", dropout, old)`. So a new
        layer starts from the values that its own constructor draws.
        """
        self._put(path, unit)

    def remove(self, path: str) -> None:
        """Take a unit away, and all that the model does to it once it is built. Raises GraphError
        as `replace` does. Code that calls it is left to the caller."""
        self._put(path, None)
        above, _, name = path.rpartition(".")
        del self.unit(above).children[name]

    def _put(self, path: str, unit: Unit | None) -> None:
        old = self.unit(path)
        if not path:
            raise GraphError("The root of a graph cannot be replaced.")
        names = path.split(".")
        parent = self.unit(".".join(names[:-1]))
        parent.set_child(names[-1], unit)
        move = Move(old, unit)
        above = self.root
        for i, name in enumerate(names[:-1]):
            move.follow(above, ".".join(names[i:]))
            above = above.at(name)
        self.ties = move.ties(self.ties, path)

    def tidy(self) -> None:
        """After changes by hand: forget starts of units that are gone, and share functions again
        that were only looked at."""
        units = {unit for _, unit in self.root.walk()}
        for unit in units:
            unit.settle()
            if not all(start.units <= units for start in unit.starts):
                unit.starts = [start for start in unit.starts if start.units <= units]

    def grades(self) -> dict[Grade, int]:
        """How many units there are of each grade."""
        counts: dict[Grade, int] = {"graph": 0, "shell": 0, "basic": 0, "open": 0}
        for _, unit in self.root.walk():
            counts[unit.grade] += 1
        return counts

    def __str__(self) -> str:
        return graph_text(self)
