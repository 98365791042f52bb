"""Units: the modules of a model, each with the functions it runs, and no weights."""

import fnmatch
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, final

from runner.errors import GraphError, did_you_mean
from runner.graph.argument import Argument, Made
from runner.graph.argument import Call as Call
from runner.graph.argument import Ref as Ref
from runner.graph.argument import Stored as Stored
from runner.graph.node import Function, Node, Op
from runner.graph.signature import with_argument
from runner.graph.text import graph_text

Grade = Literal["graph", "shell", "basic", "open"]


@final
@dataclass(frozen=True, slots=True)
class Weight:
    """A parameter or buffer: what it is, and the expression of its first value.

    `start` is None when only shape and dtype are known; a parameter then starts uninitialized
    (something in `Unit.starts` fills it) and a buffer with zeros.
    """

    shape: tuple[Any, ...]  # of ints, or of choices left open
    dtype: str = "float32"
    requires_grad: bool = True
    persistent: bool = True  # of a buffer: whether it is in the state_dict
    start: Argument = None


@final
@dataclass(eq=False)
class Start:
    """A call that fills a parameter or buffer in place once the unit it belongs to is built, for
    example `nn.init.xavier_uniform_(self.head.weight)`; `target` as in `Call`."""

    unit: "Unit"  # the unit below, or this one, that owns the tensor
    name: str  # of the parameter or buffer there; a path inside a basic unit
    target: str
    args: tuple[Argument, ...] = ()
    kwargs: Mapping[str, Argument] = field(default_factory=dict)


@final
@dataclass(frozen=True)
class Note:
    """What a front end could not read: where, why, and what was done instead."""

    path: str
    cls: str
    text: str  # one or several sentences

    def __str__(self) -> str:
        return f"{self.path or 'the model'} ({self.cls}): {self.text}"


@final
class Unit(Made):
    """One module of a model, in one of four grades.

    graph   converted: `functions` hold its methods, everything can be changed
    shell   its children can be changed; forward is inherited from the class it came from
    basic   one call of a constructor; the inside is not looked at
    open    a choice: candidates as children, what is to be decided in `facts` (see
            `runner.nn.open`); gone once a sample is decided

    Attributes that are read and written:

    - `cls`: the class it came from.
    - `call`: how it was constructed, without arguments equal to their default; None if unknown.
      Its arguments may hold choices, and units (for modules given to a constructor).
    - `children`: units by name, None for a child that is None. One unit may stand in two places.
    - `parameters`, `buffers`: those of this very unit, by name; None for one that is None.
    - `attributes`: plain attributes that the functions use, or that a shell needs.
    - `edits`: (path, name, value) of attributes below that were changed behind the constructor.
    - `starts`: calls that fill tensors once this unit is built, in order.
    - `hooked`: calls ("torch.nn.utils.parametrizations:weight_norm", args behind the module,
      kwargs) that are applied to the built module, for example re-parametrizations.
    - `changed`: whether this unit is no longer what `call` makes. Every change made through a
      method here sets it; set it yourself after changing a dict by hand.
    """

    def __init__(self, grade: Grade, cls: Ref, call: Call | None = None) -> None:
        self.grade: Grade = grade
        self.cls = cls
        self.call = call
        self.children: dict[str, Unit | None] = {}
        self.parameters: dict[str, Weight | None] = {}
        self.buffers: dict[str, Weight | None] = {}
        self.attributes: dict[str, Argument] = {}
        self.facts: dict[str, Any] = {}
        self.functions: dict[str, Function] = {}
        self.edits: list[tuple[str, str, Argument]] = []
        self.starts: list[Start] = []
        self.hooked: list[Call] = []
        self.changed = False
        self._owned: frozenset[str] = frozenset()  # functions that no copy of this unit shares

    @classmethod
    def of(cls, target: str, *args: Argument, **kwargs: Argument) -> "Unit":
        """A new basic unit: `Unit.of("torch.nn:Conv2d", 16, 32, 3, padding=1)`."""
        return cls("basic", Ref(target), Call(target, args, kwargs))

    @property
    def forward(self) -> Function:
        """Its forward, to be read and changed. Raises GraphError for a unit without one."""
        return self.edit("forward")

    def edit(self, name: str) -> Function:
        """One of its functions, to be read and changed; other copies of the model keep theirs."""
        if name not in self.functions:
            raise GraphError(
                f"A {self.name} of grade {self.grade} has no function {name!r} that can be changed."
            )
        if name not in self._owned:
            self.functions[name] = self.functions[name].clone()
            self._owned |= {name}
        self.changed = True
        return self.functions[name]

    def owns(self, name: str) -> bool:
        """Whether one of its functions is its own to change: no copy of it shares the function."""
        return name in self._owned

    def define(self, function: Function) -> None:
        """Add a function, or replace the one of the same name."""
        self.functions[function.name] = function
        self._owned |= {function.name}
        self.changed = True

    def add_child(self, name: str, unit: "Unit") -> str:
        """Add a child under a name, with a number behind it where it is taken; gives the name."""
        taken = {*self.children, *self.parameters, *self.buffers, *self.attributes}
        free, number = name, 2
        while free in taken:
            free, number = f"{name}{number}", number + 1
        self.set_child(free, unit)
        return free

    def set_child(self, name: str, unit: "Unit | None") -> None:
        """Add or replace a child. Raises GraphError for a name that cannot be one."""
        if not name or "." in name:
            raise GraphError(f"{name!r} cannot be the name of a child: it is empty or has a dot.")
        self.children[name] = unit
        self.changed = True

    def set_argument(self, name: str, value: Argument) -> None:
        """Give the constructor another argument, by name. Raises GraphError without a `call`."""
        if self.call is None:
            raise GraphError(f"How this {self.name} was constructed is not known.")
        self.call = with_argument(self.call, name, value)
        self.changed = True

    def walk(self, prefix: str = "") -> Iterator[tuple[str, "Unit"]]:
        """This unit and all below with their paths, parents first; a shared one once."""
        yield from self._walk(prefix, set())

    def _walk(self, path: str, seen: set["Unit"]) -> Iterator[tuple[str, "Unit"]]:
        if self in seen:
            return
        seen.add(self)
        yield path, self
        for name, child in self.children.items():
            if child is not None:
                yield from child._walk(f"{path}.{name}" if path else name, seen)

    def at(self, path: str) -> "Unit":
        """The unit at a path below. Raises GraphError, naming near ones, when there is none."""
        unit = self
        for name in path.split(".") if path else ():
            child = unit.children.get(name)
            if child is None:
                near = did_you_mean(path, [p for p, _ in self.walk()])
                raise GraphError(f"There is no unit {path!r}.{near}")
            unit = child
        return unit

    def shallow(self) -> "Unit":
        """A copy with the same units below; functions are shared until they are edited."""
        twin = Unit(self.grade, self.cls, self.call)
        twin.children = {**self.children}
        twin.parameters = {**self.parameters}
        twin.buffers = {**self.buffers}
        twin.attributes = {**self.attributes}
        twin.facts = {**self.facts}
        twin.functions = {**self.functions}
        twin.edits = [*self.edits]
        twin.starts = [*self.starts]
        twin.hooked = [*self.hooked]
        twin.changed = self.changed
        self._owned = frozenset()  # what both share, neither may change
        return twin

    def copy(self, copies: "dict[Unit, Unit]") -> "Unit":
        """A copy of this unit and all below."""
        if self in copies:
            return copies[self]
        twin = copies[self] = self.shallow()
        twin.children = {n: c and c.copy(copies) for n, c in self.children.items()}
        twin.call = self.call and _copy_call(self.call, copies)
        twin.starts = [replace(s, unit=s.unit.copy(copies)) for s in self.starts]
        return twin

    def __repr__(self) -> str:
        return f"<{self.grade} {self.name}>"


def _copy_call(call: Call, copies: dict[Unit, Unit]) -> Call:
    """A constructor call, with the units anywhere among its arguments copied."""
    args, kwargs = _copy_units(call.args, copies), _copy_units(dict(call.kwargs), copies)
    return Call(call.target, args, kwargs)


def _copy_units(argument: Argument, copies: dict[Unit, Unit]) -> Argument:
    kind = type(argument)
    if kind is Unit:
        return argument.copy(copies)
    if kind is tuple or kind is list:
        return kind([_copy_units(item, copies) for item in argument])
    if kind is dict:
        return {name: _copy_units(item, copies) for name, item in argument.items()}
    if kind is Call:
        return _copy_call(argument, copies)
    return argument


@final
class Graph:
    """A model: its units, functions of its own, and what was done to it.

    `ties` are (path, path of the owner) of parameters that are one tensor under two names, where
    the modules that hold them are two. `tensors` are constants without a short expression.
    """

    def __init__(self, root: Unit) -> None:
        self.root = root
        self.functions: dict[str, Function] = {}
        self.ties: list[tuple[str, str]] = []
        self.tensors: dict[str, Any] = {}  # name -> torch.Tensor
        self.notes: list[Note] = []
        self.history: list[str] = []  # a sentence for each mutation

    def copy(self, root: Unit | None = None) -> "Graph":
        """A copy to be changed; cheap, since functions are shared until they are edited. A `root`
        given takes the place of a copy of this one's."""
        twin = Graph(self.root.copy({}) if root is None else root)
        twin.functions = {**self.functions}
        twin.ties = [*self.ties]
        twin.tensors = self.tensors
        twin.notes = [*self.notes]
        twin.history = [*self.history]
        return twin

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
        """(unit, node) of all nodes that fit, to be read and changed.

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
        """Put another unit at a path. Raises GraphError when there is none, or it is the root."""
        self.unit(path)
        parent, _, name = path.rpartition(".")
        if not path:
            raise GraphError("The root of a graph cannot be replaced.")
        self.unit(parent).set_child(name, unit)

    def grades(self) -> dict[Grade, int]:
        """How many units there are of each grade."""
        counts: dict[Grade, int] = {"graph": 0, "shell": 0, "basic": 0, "open": 0}
        for _, unit in self.root.walk():
            counts[unit.grade] += 1
        return counts

    def __str__(self) -> str:
        return graph_text(self)


def labels(unit: Unit) -> Sequence[str]:
    """The labels a unit can be found by: those of its choices, or the name of a Placeholder."""
    return tuple(unit.facts.get("labels", ()))
