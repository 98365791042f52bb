"""Units: the modules of a model, each with the functions it runs, and no weights."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, final

from torch import nn

from runner.errors import GraphError, did_you_mean
from runner.graph.ir.argument import Argument, Made, leaves_and_calls, map_made, rebuild_argument
from runner.graph.ir.argument import Call as Call
from runner.graph.ir.argument import Ref as Ref
from runner.graph.ir.argument import Stored as Stored
from runner.graph.ir.constants import check_constants
from runner.graph.ir.equality import alike
from runner.graph.ir.function import Function
from runner.graph.ir.signature import with_argument

Grade = Literal["graph", "shell", "basic", "open"]
RESERVED = frozenset(dir(nn.Module()))  # names that a child cannot have: "forward", "training"

# Parameters and buffers, and the calls that fill them

ConstructionTime = tuple[int, int]
"""When something is done in a constructor: the number of children that are made before it, and its
number among all that is done."""


@final
@dataclass(frozen=True, slots=True)
class Weight:
    """A parameter or buffer: what it is, and the expression of its first value.

    `start` is None when only shape and dtype are known; a parameter then starts uninitialized
    (something in `Unit.starts` fills it) and a buffer with zeros. `place` is when it is made, where
    that matters for the random numbers it draws: see `ConstructionTime`.
    """

    shape: tuple[Any, ...]  # of ints, or of choices left open
    dtype: str = "float32"
    requires_grad: bool = True
    persistent: bool = True  # of a buffer: whether it is in the state_dict
    start: Argument = None
    place: ConstructionTime | None = None


@final
@dataclass(eq=False)
class Start:
    """A call that fills a parameter or buffer in place once the unit it belongs to is built, for
    example `nn.init.xavier_uniform_(self.head.weight)`; `target` as in `Call`.

    `part` are calls that lead from the tensor to the part of it that is filled, each without its
    first argument: for `self.head.weight[0].zero_()`, one of `operator:getitem(0)`. Arguments may
    hold what other tensors of the model held by then: see `held`. `place` is when it is done,
    see `ConstructionTime`; None for at the end.
    """

    unit: "Unit"  # the unit below, or this one, that owns the tensor
    name: str  # of the parameter or buffer there; a path inside a basic unit
    target: str
    args: tuple[Argument, ...] = ()
    kwargs: Mapping[str, Argument] = field(default_factory=dict)
    part: tuple[Call, ...] = ()
    place: ConstructionTime | None = None

    @property
    def reads(self) -> "set[Unit]":
        """The units whose tensors its arguments speak of."""
        given = leaves_and_calls((self.args, {**self.kwargs}))
        return {leaf for leaf in given if type(leaf) is Unit}

    @property
    def units(self) -> "set[Unit]":
        """The unit that it fills, and those it reads."""
        return {self.unit, *self.reads}

    def rebuilt(self, change: "Callable[[Argument], Argument]") -> "Start":
        """The same call with other leaves in its arguments."""
        args, kwargs, part = rebuild_argument((self.args, {**self.kwargs}, self.part), change)
        return replace(self, args=args, kwargs=kwargs, part=part)

    def moved(self, places: "Mapping[Unit, Unit]") -> "Start":
        """The same call, with the units that took the places of those it speaks of."""

        def change(leaf: Argument) -> Argument:
            return places.get(leaf, leaf) if type(leaf) is Unit else leaf

        return replace(self.rebuilt(change), unit=places.get(self.unit, self.unit))


@final
@dataclass(frozen=True)
class Edit:
    """An attribute that was changed after construction: `name` of a unit, or of what is at `path`
    in it, which is no unit (a tensor, or the inside of a basic unit)."""

    unit: "Unit" = field(repr=False)
    path: str
    name: str
    value: Argument

    @classmethod
    def at(cls, owner: "Unit", path: str, name: str, value: Argument) -> "Edit":
        """An edit of what is at a path below a unit."""
        return cls(*owner.innermost(path), name, value)

    def moved(self, places: "Mapping[Unit, Unit]") -> "Edit":
        """The same edit of the unit that took the place of its own, if one did."""
        return replace(self, unit=places.get(self.unit, self.unit))


SET = ".data"  # the target of a start that gives a tensor other data, of any shape and type
CAST = "torch.nn:Module.to"  # what is applied to a module that is cast as a whole


def held(unit: "Unit", name: str) -> Call:
    """What a parameter or buffer of a unit holds, as an argument of a start; `name` may be a path
    inside a basic unit."""
    first, *names = (*name.split("."), "data")
    found = Call("builtins:getattr", (unit, first))
    for part in names:
        found = Call("builtins:getattr", (found, part))
    return found


@final
@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a unit comes from, and what was done to it since; kept by copies, wherever they go.

    - `origin`: the path it had in the graph before the first mutator: whose weights it may start
      from. None for a unit that a mutator made, and where no weights are inherited.
    - `inserted`: whether a mutator put it between two others, where it is to change nothing at
      first.
    - `changed`: whether it is no longer what its constructor call makes.
    - `mutated`: whether it was changed or made by a mutator, and not by a choice that was decided:
      what a picture frames.
    """

    origin: str | None = None
    inserted: bool = False
    changed: bool = False
    mutated: bool = False


@final
class Unit(Made):
    """One module of a model, in one of four grades.

    graph   converted: `functions` hold its methods, everything can be changed
    shell   its children can be changed; forward is inherited from the class it came from
    basic   one call of a constructor; the inside is not looked at
    open    a choice: candidates as children, what is to be decided in `facts` (see
            `runner.nn.symbolic_modules`); gone once a sample is decided

    Attributes that are read and written:

    - `cls`: the class it came from.
    - `call`: how it was constructed, without arguments equal to their default; None if unknown.
      Its arguments may hold choices, and units (for modules given to a constructor).
    - `children`: units by name, None for a child that is None. One unit may stand in two places.
    - `parameters`, `buffers`: those of this very unit, by name; None for one that is None.
    - `attributes`: plain attributes that the functions use, or that a shell needs.
    - `inherits`: of grade graph, whether its generated class inherits from the class it came from,
      for methods that no forward calls (train, get_extra_state, __call__); such a unit has all
      attributes, as a shell.
    - `edits`: attributes here or below that were changed behind the constructor.
    - `starts`: calls that fill tensors once this unit is built, in order.
    - `hooked`: calls ("torch.nn.utils.parametrizations:weight_norm", args behind the module,
      kwargs) that are applied to the built module, for example re-parametrizations.
    - `provenance`: a `Provenance`; `mark` sets parts of it. `changed` and `mutated` are set by
      every change made through a method here or of one of its functions, not by reading; set
      `changed` yourself after changing a dict by hand.
    """

    def __init__(self, grade: Grade, cls: Ref, call: Call | None = None) -> None:
        self.grade: Grade = grade
        self.cls = cls
        self.call = call
        self.children: dict[str, Unit | None] = {}
        self.parameters: dict[str, Weight | None] = {}
        self.buffers: dict[str, Weight | None] = {}
        self.attributes: dict[str, Argument] = {}
        self.inherits = False
        self.facts: dict[str, Any] = {}
        self.functions: dict[str, Function] = {}
        self.edits: list[Edit] = []
        self.starts: list[Start] = []
        self.hooked: list[Call] = []
        self.provenance = Provenance()
        # Functions that no copy of this unit shares, with those they are copies of, if any.
        self._own: dict[str, Function | None] = {}

    @classmethod
    def of(cls, target: str, *args: Argument, **kwargs: Argument) -> "Unit":
        """A new basic unit: `Unit.of("torch.nn:Conv2d", 16, 32, 3, padding=1)`.

        Containers of units get them as children: `Unit.of("torch.nn:Sequential", one, other)`;
        ModuleList takes a list, ModuleDict, and Sequential where names matter, a dict. Raises
        GraphError for an argument that no source can hold.
        """
        check_constants((args, kwargs), target)
        children = None if kwargs else contained(target, args)
        if children is None:
            unit = cls("basic", Ref(target), Call(target, args, kwargs))
        else:
            unit = cls("graph", Ref(f"torch.nn:{Ref(target).name}"))
            for name, child in children.items():
                unit._check_child(name, child)
                unit.children[name] = child
        unit.mutated = True
        return unit

    def mark(self, **marks: Any) -> None:
        """Set parts of its provenance."""
        self.provenance = replace(self.provenance, **marks)

    @property
    def changed(self) -> bool:
        """Whether it is no longer what `call` makes."""
        return self.provenance.changed or self._is_edited()

    @changed.setter
    def changed(self, changed: bool) -> None:
        self.mark(changed=changed)

    @property
    def mutated(self) -> bool:
        """Whether a mutator changed or made it."""
        return self.provenance.mutated or self._is_edited()

    @mutated.setter
    def mutated(self, mutated: bool) -> None:
        self.mark(mutated=mutated)

    # Functions: shared with copies of the unit until they are asked for

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
        if name not in self._own:
            shared = self._own[name] = self.functions[name]
            self.functions[name] = shared.clone()
        return self.functions[name]

    def owns(self, name: str) -> bool:
        """Whether one of its functions is its own to change: no copy of it shares the function."""
        return name in self._own

    def define(self, function: Function) -> None:
        """Add a function, or replace the one of the same name."""
        self.functions[function.name] = function
        self._own[function.name] = None
        self.mark(changed=True, mutated=True)

    def settle(self) -> None:
        """Share functions again that were only looked at; nobody may change one found before."""
        for name, shared in [*self._own.items()]:
            if shared is None or name not in self.functions:
                continue
            if alike(self.functions[name], shared):
                self.functions[name] = shared
                del self._own[name]
            else:
                self._own[name] = None
                self.mark(changed=True, mutated=True)

    def share(self) -> None:
        """Let copies share all functions as they are now: nobody holds one to change it."""
        self._own = {}

    def _is_edited(self) -> bool:
        """Whether a function is no longer what it was when it was asked for."""
        return any(
            shared is not None
            and name in self.functions
            and not alike(self.functions[name], shared)
            for name, shared in self._own.items()
        )

    # Children and arguments

    def add_child(self, name: str, unit: "Unit") -> str:
        """Add a child under a name, with a number behind it where it is taken; gives the name."""
        free, number = name, 2
        while self.is_taken(free):
            free, number = f"{name}{number}", number + 1
        self.set_child(free, unit)
        return free

    def is_taken(self, name: str) -> bool:
        """Whether a name stands for something already, here or in every module."""
        names = (self.children, self.parameters, self.buffers, self.attributes, self.functions)
        return name in RESERVED or any(name in some for some in names)

    def set_child(self, name: str, unit: "Unit | None") -> None:
        """Add or replace a child.

        Calls in `starts` and `edits` here about a unit that is gone go with it; those about one
        that the new unit holds stay. `Graph.replace` does so for units above, too.
        Raises GraphError for a name that cannot be one, and for a unit that would hold itself.
        """
        self._check_child(name, unit)
        before = self.children.get(name)
        self.children[name] = unit
        self.changed = True
        (self if unit is None else unit).mutated = True
        if before is not None and before is not unit:
            self.forget_gone()

    def forget_gone(self) -> None:
        """Forget starts and edits about units that are not below."""
        if self.starts or self.edits:
            below = {unit for _, unit in self.walk()}
            self.starts = [start for start in self.starts if start.units <= below]
            self.edits = [edit for edit in self.edits if edit.unit in below]

    def _check_child(self, name: str, unit: object) -> None:
        if not isinstance(name, str) or not name or "." in name:
            raise GraphError(f"{name!r} cannot be the name of a child: it is empty or has a dot.")
        if name in RESERVED:
            raise GraphError(f"{name!r} cannot be the name of a child: every module has a {name}.")
        if unit is not None and not isinstance(unit, Unit):
            raise GraphError(
                f"{unit!r} cannot be put at {name!r}: it is no Unit. Write Unit.of("
                "'torch.nn:Linear', 8, 2) for a layer, or convert(module).root for a module."
            )
        if unit is not None and any(inner is self for _, inner in unit.walk()):
            raise GraphError(f"{unit} cannot be put at {name!r}: {self} would stand in itself.")

    def set_argument(self, name: str, value: Argument) -> None:
        """Give the constructor another argument, by name. Raises GraphError without a `call`, and
        for a value that no source can hold."""
        if self.call is None:
            raise GraphError(f"How this {self.name} was constructed is not known.")
        check_constants(value, f"{self.name}, {name}")
        self.call = with_argument(self.call, name, value)
        self.mark(changed=True, mutated=True)

    def walk(self, prefix: str = "", *, repeated: bool = False) -> Iterator[tuple[str, "Unit"]]:
        """This unit and all below with their paths, parents first; a shared one once, unless
        `repeated`."""
        seen: set[Unit] = set()
        coming = [(prefix, self)]
        while coming:
            path, unit = coming.pop()
            if unit in seen and not repeated:
                continue
            seen.add(unit)
            yield path, unit
            above = f"{path}." if path else ""
            below = [(above + name, child) for name, child in unit.children.items() if child]
            coming += reversed(below)

    @property
    def weights(self) -> "dict[str, Weight | None]":
        """Its parameters and buffers."""
        return {**self.parameters, **self.buffers}

    def arguments(self) -> Iterator[tuple[str, Argument]]:
        """All that stands as an argument in the unit, but for its nodes, with what to call it."""
        if self.call is not None:
            yield "the call", self.call.args
            if self.call.kwargs:
                yield "the call", (*self.call.kwargs.values(),)
        if self.attributes:
            yield "an attribute", self.attributes
        for weight in self.weights.values():
            if weight is not None:
                yield "a weight", (weight.shape, weight.start)
        for start in self.starts:
            yield "a start", (start.args, {**start.kwargs}, start.part)
        if self.edits:
            yield "an edit", [edit.value for edit in self.edits]
        if self.hooked:
            yield "a hook", self.hooked

    def rebuild(self, change: Callable[[Argument], Argument]) -> None:
        """Put `change(leaf)` in place of each leaf of its arguments, but for starts and nodes."""
        self.call = rebuild_argument(self.call, change)
        self.attributes = rebuild_argument(self.attributes, change)
        for weights in (self.parameters, self.buffers):
            for name, weight in weights.items():
                if weight is not None:
                    shape, start = rebuild_argument((weight.shape, weight.start), change)
                    weights[name] = replace(weight, shape=shape, start=start)
        self.edits = [replace(e, value=rebuild_argument(e.value, change)) for e in self.edits]
        self.hooked = rebuild_argument(self.hooked, change)

    def at(self, path: str) -> "Unit":
        """The unit at a path below. Raises GraphError, naming near ones, when there is none."""
        unit = self.find(path)
        if unit is None:
            near = did_you_mean(path, [p for p, _ in self.walk()])
            raise GraphError(f"There is no unit {path!r}.{near}")
        return unit

    def find(self, path: str) -> "Unit | None":
        """The unit at a path below; None where there is none."""
        unit: Unit | None = self
        for name in path.split(".") if path else ():
            unit = unit.children.get(name) if unit is not None else None
        return unit

    def innermost(self, path: str) -> "tuple[Unit, str]":
        """The last unit on the way down a path, and what is left of the path there."""
        unit, names = self, path.split(".") if path else []
        while names and (child := unit.children.get(names[0])) is not None:
            unit, names = child, names[1:]
        return unit, ".".join(names)

    def path_to(self, unit: "Unit", inner: str = "") -> str:
        """The path to a unit below, and on to what is at `inner` there; "?" for one elsewhere."""
        path = next((path for path, below in self.walk() if below is unit), "?")
        return joined(path, inner)

    def shallow(self) -> "Unit":
        """A copy with the same units below; functions are shared until they are asked for."""
        twin = Unit(self.grade, self.cls, self.call)
        for name, value in vars(self).items():
            setattr(twin, name, value.copy() if type(value) in (dict, list) else value)
        twin.edits = [edit.moved({self: twin}) for edit in self.edits]
        twin._own = {}
        for name, shared in self._own.items():  # someone may hold it, to change it in this unit
            if name in self.functions:
                twin.functions[name], twin._own[name] = self.functions[name].clone(), shared
        return twin

    def copy(self, copies: "dict[Unit, Unit]") -> "Unit":
        """A copy of this unit and all below."""
        if self in copies:
            return copies[self]
        twin = copies[self] = self.shallow()
        twin.children = {n: c and c.copy(copies) for n, c in self.children.items()}
        twin.call = map_made(self.call, lambda unit: unit.copy(copies))
        twin.starts = [start.moved(copies) for start in self.starts]
        twin.edits = [edit.moved(copies) for edit in self.edits]
        return twin

    def __repr__(self) -> str:
        return f"<{self.grade} {self.name}>"


def joined(*paths: str) -> str:
    """Paths one below the other as one; an empty one is the place itself."""
    return ".".join(filter(None, paths))


def labels(unit: Unit) -> Sequence[str]:
    """The labels a unit can be found by: those of its choices, or the name of a Placeholder."""
    return tuple(unit.facts.get("labels", ()))


# Containers of torch.nn that are made of units: the units are their children

_MODULES = ("torch.nn", "torch.nn.modules.container")


def contained(target: str, args: Sequence[Argument]) -> dict[str, Any] | None:
    """The children that a constructor call gives to a container; None for any other call."""
    module, _, name = target.partition(":")
    if module not in _MODULES:
        return None
    given = args[0] if len(args) == 1 else None
    if name in ("Sequential", "ModuleDict") and isinstance(given, dict):
        named = given
    elif name == "ModuleList" and isinstance(given, tuple | list):
        named = _numbered(given)
    elif name == "Sequential":
        named = _numbered(args)
    else:
        return None
    return named if all(isinstance(unit, Made) for unit in named.values()) else None


def _numbered(units: Sequence[Argument]) -> dict[str, Argument]:
    return {str(place): unit for place, unit in enumerate(units)}
