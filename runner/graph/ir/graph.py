"""Graph: a model as a tree of units, with their shared tensors and the history of its mutations."""

import fnmatch
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, final

from runner.errors import GraphError
from runner.graph.ir.function import Function
from runner.graph.ir.node import Node, Op
from runner.graph.ir.printer import MARGIN, NodePrinter, dotted
from runner.graph.ir.unit import Grade, Unit, Weight, joined, labels
from runner.graph.ir.width_source import Source

T = TypeVar("T")


@final
@dataclass(frozen=True)
class Note:
    """A limitation of a conversion: where, why, and what was done instead."""

    path: str
    cls: str
    text: str  # one or several sentences
    lost: bool = False  # whether the graph computes something else than the model

    def __str__(self) -> str:
        return f"{self.path or 'the model'} ({self.cls}): {self.text}"

    @property
    def reason(self) -> str:
        """The first sentence of the text, as a clause: what is the matter."""
        first = self.text.partition(". ")[0].rstrip(".")
        return first[:1].lower() + first[1:]


UnitTensor = tuple[Unit, str]  # a unit, and a tensor's name or path in it
Tied = Sequence[tuple[UnitTensor, UnitTensor]]


@final
class Graph:
    """A model: its units, free functions and tensors, and the history of its mutations.

    `tensors` are constants without a short expression. `example` is the shape of one example
    without the batch dimension; None if unknown. `frontend` is the setting that chose the front
    ends which read the model. `widths` maps the label of a choice of widths to
    the sources of these widths.
    """

    def __init__(self, root: Unit) -> None:
        self.root = root
        self.functions: dict[str, Function] = {}
        self._tied: Tied = ()
        self.tensors: dict[str, Any] = {}  # name -> torch.Tensor
        self.notes: list[Note] = []
        self.history: list[str] = []  # a sentence for each mutation
        self.example: tuple[int, ...] | None = None
        self.frontend = "auto"
        self.widths: dict[str, list[Source]] = {}
        self._shared: dict[type, Any] = {}

    def copy(self, copies: dict[Unit, Unit] | None = None) -> "Graph":
        """Returns a copy that can be changed independently. It is cheap: functions of units are
        shared until they are edited. Units in `copies` are replaced by others instead of copied."""
        copies = {} if copies is None else copies
        twin = Graph(self.root.copy(copies))
        twin.tied = moved_ties(self.tied, copies)
        twin.functions = {name: function.clone() for name, function in self.functions.items()}
        twin.tensors = {**self.tensors}
        twin.notes = [*self.notes]
        twin.history = [*self.history]
        twin.example = self.example
        twin.frontend = self.frontend
        twin.widths = {**self.widths}
        twin._shared = self._shared
        return twin

    def shared(self, kind: type[T]) -> T:
        """Returns the object of a class that this graph and all its copies share, such as a memo
        for passes over many mutated copies; constructed on first use."""
        if kind not in self._shared:
            self._shared[kind] = kind()
        return self._shared[kind]  # type: ignore[no-any-return]

    def shape(self) -> tuple[int, ...]:
        """Returns the shape of an example. Raises GraphError if it is unknown."""
        if self.example is None:
            raise GraphError(
                "The shape of the input of the model is unknown; set space.input, for example to "
                "[3, 32, 32]."
            )
        return self.example

    @property
    def tied(self) -> Tied:
        """Pairs (parameter, owner) of parameters of two modules that are one tensor. If an owner
        has been removed, the first of the others becomes the owner."""
        units = {unit for _, unit in self.root.walk()} if self._tied else set()
        owners: dict[UnitTensor, UnitTensor] = {}
        found = []
        for one, owner in self._tied:
            if one[0] in units:
                now = owner if owner[0] in units else owners.setdefault(owner, one)
                found += [(one, now)] if one != now else []
        return found

    @tied.setter
    def tied(self, tied: Tied) -> None:
        self._tied = tied

    @property
    def ties(self) -> tuple[tuple[str, str], ...]:
        """All tied parameters, as pairs (path, path of the owner). Assign to it to tie
        parameters."""
        paths = {unit: path for path, unit in self.root.walk()} if self._tied else {}
        return tuple(
            (joined(paths[unit], name), joined(paths[owner], other))
            for (unit, name), (owner, other) in self.tied
        )

    @ties.setter
    def ties(self, ties: Iterable[tuple[str, str]]) -> None:
        self._tied = [(self.root.innermost(one), self.root.innermost(owner)) for one, owner in ties]

    # Queries

    def unit(self, path: str) -> Unit:
        """Returns the unit at a path. Raises GraphError, with similar paths, if there is none."""
        return self.root.at(path)

    def above(self, path: str) -> list[Unit]:
        """Returns the ancestors of a path, from the root down."""
        names = path.split(".") if path else []
        return [self.unit(".".join(names[:depth])) for depth in range(len(names))]

    def units(self, *, cls: str = "", path: str = "", label: str = "") -> list[tuple[str, Unit]]:
        """Returns (path, unit) of all units that match, parents first.

        `cls` is the name of a class, or its full "module:qualname"; `path` may contain wildcards
        (`layer?.*.conv1`; `*` matches any text, dots included); `label` is the label of a choice or
        Placeholder.
        """
        return [
            (here, unit)
            for here, unit in self.root.walk()
            if not cls or cls in (unit.name, unit.cls.target)
            if not path or fnmatch.fnmatchcase(here, path)
            if not label or label in labels(unit)
        ]

    def methods(self) -> list[tuple[str, Unit, Function]]:
        """Returns (path, unit, function) of all functions of units."""
        return [
            (path, unit, function)
            for path, unit in self.root.walk()
            for function in unit.functions.values()
        ]

    def nodes(
        self, *, op: Op | None = None, target: str = "", path: str = ""
    ) -> list[tuple[Unit, Node]]:
        """Returns (unit, node) of all nodes that match. They may be changed; inspecting them does
        not count as a change.

        `target` is the full target of a node, or the part after the colon ("relu" for
        "torch.nn.functional:relu"); `path` matches the unit, as in `units`.
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
        """Replaces the unit at a path. Raises GraphError if there is none, or if it is the root.

        References to the old unit are dropped with it: calls that initialize its weights
        (`Unit.starts`), edits of its attributes (`edits`) and tied parameters. They are kept for
        units that the new one contains, as in `Unit.of("torch.nn:Sequential", dropout, old)`. A new
        layer therefore starts from the initial values of its own constructor.
        """
        self._put(path, unit)

    def remove(self, path: str) -> None:
        """Removes a unit and all references to it, as `replace` does. Code that calls the unit is
        left to the caller. Raises GraphError as `replace` does."""
        self._put(path, None)
        above, _, name = path.rpartition(".")
        del self.unit(above).children[name]

    def _put(self, path: str, unit: Unit | None) -> None:
        self.unit(path)
        if not path:
            raise GraphError("The root of a graph cannot be replaced.")
        above = self.above(path)
        above[-1].set_child(path.rpartition(".")[2], unit)
        for owner in above:
            owner.forget_gone()

    def tidy(self) -> None:
        """Cleans up after manual changes: drops starts and edits of removed units, and
        restores sharing of functions that were copied but not changed."""
        for _, unit in self.root.walk():
            unit.restore_sharing()
            unit.forget_gone()

    def edited_from_above(self) -> set[Unit]:
        """Returns the units that an ancestor edits after construction."""
        return {
            edit.unit for _, above in self.root.walk() for edit in above.edits
            if edit.unit is not above
        }  # fmt: skip

    def grades(self) -> dict[Grade, int]:
        """Returns the number of units of each grade."""
        counts: dict[Grade, int] = {"graph": 0, "shell": 0, "basic": 0, "symbolic": 0}
        for _, unit in self.root.walk():
            counts[unit.grade] += 1
        return counts

    def __str__(self) -> str:
        lines = [*_UnitPrinter().unit(self.root, "", "")]
        for function in self.functions.values():
            lines += ["", *str(function).splitlines()]
        lines += [f"tie {path} = {owner}" for path, owner in self.ties]
        lines += [f"tensor {name}: {_tensor(value)}" for name, value in self.tensors.items()]
        lines += [f"note {note}" for note in self.notes]
        lines += [f"history {sentence}" for sentence in self.history]
        return "\n".join(lines)


def moved_ties(tied: Tied, moved: Mapping[Unit, Unit]) -> Tied:
    """Returns the ties with units replaced according to `moved`."""
    return [
        ((moved.get(unit, unit), name), (moved.get(owner, owner), other))
        for (unit, name), (owner, other) in tied
    ]


# Printing


def _tensor(value: object) -> str:
    return f"{getattr(value, 'dtype', '')}{[*getattr(value, 'shape', ())]}".removeprefix("torch.")


@final
class _UnitPrinter:
    """A printer of units; one that has several parents is printed once."""

    def __init__(self) -> None:
        self._paths: dict[Unit, str] = {}

    def unit(self, unit: Unit, name: str, path: str) -> Iterator[str]:
        """Yields the lines of a unit and all below it."""
        self._paths[unit] = path
        yield f"{name}{': ' if name else ''}{NodePrinter().made(unit)} ({unit.grade})"
        for line in self._inside(unit, path):
            yield f"{MARGIN}{line}" if line else ""

    def _inside(self, unit: Unit, path: str) -> Iterator[str]:
        nodes = NodePrinter()
        yield from _weights("parameter", unit.parameters)
        yield from _weights("buffer", unit.buffers, unit.unsaved)
        for name, value in unit.attributes.items():
            yield f"{name} = {nodes.argument(value)}"
        for name, child in unit.children.items():
            yield from self._child(name, child, joined(path, name))
        for edit in unit.edits:
            place = unit.path_to(edit.unit, edit.path)
            yield f"edit {place}.{edit.name} = {nodes.argument(edit.value)}".replace(" .", " ")
        for start in unit.starts:
            args = nodes.arguments(start.args, start.kwargs.items())
            yield f"start {self._place(start.unit)}.{start.name} {dotted(start.target)}({args})"
        for hook in unit.hooked:
            args = nodes.arguments(hook.args, hook.kwargs.items())
            yield f"hooked {dotted(hook.target)}({args})"
        for function in unit.functions.values():
            yield ""
            yield from str(function).splitlines()

    def _child(self, name: str, child: Unit | None, path: str) -> Iterator[str]:
        if child is None:
            yield f"{name}: None"
        elif child in self._paths:
            yield f"{name}: = {self._paths[child] or 'the model'}"
        else:
            yield from self.unit(child, name, path)

    def _place(self, unit: Unit) -> str:
        return self._paths.get(unit, "?") or "self"


def _weights(
    kind: str, weights: dict[str, Weight | None], unsaved: Collection[str] = ()
) -> Iterator[str]:
    nodes = NodePrinter()
    for name, weight in weights.items():
        if weight is None:
            yield f"{name}: {kind} None{' not persistent' if name in unsaved else ''}"
            continue
        start = "" if weight.start is None else f" = {nodes.argument(weight.start)}"
        frozen = "" if weight.requires_grad or kind == "buffer" else " frozen"
        kept = "" if weight.persistent else " not persistent"
        shape = ", ".join(map(nodes.argument, weight.shape))
        yield f"{name}: {kind} {weight.dtype}[{shape}]{frozen}{kept}{start}"
