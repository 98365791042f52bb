"""Units: the modules of a model, each with its functions, but without weights."""

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

Grade = Literal["graph", "shell", "basic", "symbolic"]
RESERVED = frozenset(dir(nn.Module()))  # not allowed for children: "forward", "training"

# Parameters and buffers, and their initialization

# The time of an action in a constructor: the number of children made before it, and its number
# among all actions
ConstructionTime = tuple[int, int]


@final
@dataclass(frozen=True, slots=True)
class Weight:
    """The shape and dtype of a parameter or buffer, and the expression of its initial value.

    `start` is None if only shape and dtype are known; a parameter is then uninitialized (a call in
    `Unit.starts` fills it) and a buffer is zero. `place` is when it is created, if that matters for
    the random numbers it draws: see `ConstructionTime`.
    """

    shape: tuple[Any, ...]  # of ints, or of symbolic choices
    dtype: str = "float32"
    requires_grad: bool = True
    persistent: bool = True  # of a buffer: whether it is in the state_dict
    start: Argument = None
    place: ConstructionTime | None = None


@final
@dataclass(eq=False)
class Start:
    """A call that initializes a parameter or buffer in place after its unit was constructed, for
    example `nn.init.xavier_uniform_(self.head.weight)`; `target` as in `Call`.

    `part` are calls that select the part of the tensor to be filled, each without its first
    argument: for `self.head.weight[0].zero_()`, one `operator:getitem(0)`. Arguments may refer to
    the current values of other tensors of the model: see `held`. `place` is when it runs, see
    `ConstructionTime`; None means at the end.
    """

    unit: "Unit"  # the owner of the tensor: this unit, or one below
    name: str  # of the parameter or buffer there; a path inside a basic unit
    target: str
    args: tuple[Argument, ...] = ()
    kwargs: Mapping[str, Argument] = field(default_factory=dict)
    part: tuple[Call, ...] = ()
    place: ConstructionTime | None = None

    @property
    def reads(self) -> "set[Unit]":
        """The units whose tensors its arguments read."""
        given = leaves_and_calls((self.args, {**self.kwargs}))
        return {leaf for leaf in given if type(leaf) is Unit}

    @property
    def units(self) -> "set[Unit]":
        """The units it refers to: the one it initializes, and those it reads."""
        return {self.unit, *self.reads}

    def rebuilt(self, change: "Callable[[Argument], Argument]") -> "Start":
        """Returns the same call with `change(leaf)` in place of each leaf of its arguments."""
        args, kwargs, part = rebuild_argument((self.args, {**self.kwargs}, self.part), change)
        return replace(self, args=args, kwargs=kwargs, part=part)

    def moved(self, places: "Mapping[Unit, Unit]") -> "Start":
        """Returns the same call with its units replaced according to `places`."""

        def change(leaf: Argument) -> Argument:
            return places.get(leaf, leaf) if type(leaf) is Unit else leaf

        return replace(self.rebuilt(change), unit=places.get(self.unit, self.unit))


@final
@dataclass(frozen=True)
class Edit:
    """An attribute that was changed after construction: attribute `name` of a unit, or of the
    object at `path` inside it that is not a unit (a tensor, or a submodule of a basic unit)."""

    unit: "Unit" = field(repr=False)
    path: str
    name: str
    value: Argument

    @classmethod
    def at(cls, owner: "Unit", path: str, name: str, value: Argument) -> "Edit":
        """Creates an edit of the object at a path below a unit."""
        return cls(*owner.innermost(path), name, value)

    def moved(self, places: "Mapping[Unit, Unit]") -> "Edit":
        """Returns the same edit with its unit replaced according to `places`."""
        return replace(self, unit=places.get(self.unit, self.unit))


SET = ".data"  # target of a start that replaces the data of a tensor
CAST = "torch.nn:Module.to"  # hook that casts a module as a whole


def held(unit: "Unit", name: str) -> Call:
    """Returns the current value of a parameter or buffer of a unit as an argument of a start;
    `name` may be a path inside a basic unit."""
    first, *names = (*name.split("."), "data")
    found = Call("builtins:getattr", (unit, first))
    for part in names:
        found = Call("builtins:getattr", (found, part))
    return found


@final
@dataclass(frozen=True, slots=True)
class Provenance:
    """The origin of a unit and what happened to it since; copies keep it.

    - `origin`: its path in the graph before the first mutator, which tells whose weights it may
      inherit. None for a unit created by a mutator, and if no weights are inherited.
    - `inserted`: whether a mutator inserted it between two others, so that it should initially be
      an identity.
    - `changed`: whether it differs from the result of its constructor call.
    - `mutated`: whether a mutator, rather than a resolved choice, created or changed it; drawings
      mark such units.
    - `frontend`: the front end that read its functions; "" if none did.
    """

    origin: str | None = None
    inserted: bool = False
    changed: bool = False
    mutated: bool = False
    frontend: str = ""


@final
class Unit(Made):
    """A module of a model, in one of four grades.

    graph     converted: `functions` holds its methods, everything can be changed
    shell     its children can be changed; forward is inherited from its original class
    basic     a single constructor call; opaque
    symbolic  a choice that is not resolved: candidates are its children, `facts` describes it (see
              `runner.nn.symbolic_modules`); replaced once a sample is resolved

    Attributes:

    - `cls`: its original class.
    - `call`: its constructor call, without arguments equal to their default; None if unknown.
      Arguments may contain choices, and units (for modules passed to a constructor).
    - `children`: units by name, None for a child that is None. A unit may have several parents.
    - `parameters`, `buffers`: those of this unit itself, by name; None for one that is None.
    - `attributes`: plain attributes that its functions use, or that a shell needs.
    - `unsaved`: names of buffers that are None and, once set, not in the state_dict.
    - `inherits`: for grade graph, whether its generated class inherits from its original class, for
      methods that no forward calls (train, __call__); it has all attributes, like a shell.
    - `edits`: attributes here or below that were changed after construction.
    - `starts`: calls that initialize tensors after construction, in order.
    - `hooked`: calls ("torch.nn.utils.parametrizations:weight_norm", args after the module,
      kwargs) that are applied to the constructed module, for example re-parametrizations.
    - `provenance`: a `Provenance`; `mark` sets fields of it. `changed` and `mutated` are set by
      every change through methods of this class or of its functions, not by inspection; set
      `changed` yourself after modifying a dict directly.
    """

    def __init__(self, grade: Grade, cls: Ref, call: Call | None = None) -> None:
        self.grade: Grade = grade
        self.cls = cls
        self.call = call
        self.children: dict[str, Unit | None] = {}
        self.parameters: dict[str, Weight | None] = {}
        self.buffers: dict[str, Weight | None] = {}
        self.attributes: dict[str, Argument] = {}
        self.unsaved, self.inherits = frozenset[str](), False
        self.facts: dict[str, Any] = {}
        self.functions: dict[str, Function] = {}
        self.edits: list[Edit] = []
        self.starts: list[Start] = []
        self.hooked: list[Call] = []
        self.provenance = Provenance()
        # Functions of this unit alone, with the shared originals they were copied from, if any.
        self._own: dict[str, Function | None] = {}

    @classmethod
    def of(cls, target: str, *args: Argument, **kwargs: Argument) -> "Unit":
        """Creates a basic unit: `Unit.of("torch.nn:Conv2d", 16, 32, 3, padding=1)`.

        Containers take units as children: `Unit.of("torch.nn:Sequential", one, other)`; ModuleList
        takes a list; ModuleDict, and Sequential with names, a dict. Raises GraphError for an
        argument that cannot be written in source.
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
        """Sets fields of its provenance."""
        self.provenance = replace(self.provenance, **marks)

    @property
    def changed(self) -> bool:
        """Whether the unit differs from what `call` constructs."""
        return self.provenance.changed or self._is_edited()

    @changed.setter
    def changed(self, changed: bool) -> None:
        self.mark(changed=changed)

    @property
    def mutated(self) -> bool:
        """Whether a mutator created or changed it."""
        return self.provenance.mutated or self._is_edited()

    @mutated.setter
    def mutated(self, mutated: bool) -> None:
        self.mark(mutated=mutated)

    # Functions: shared with copies of the unit until they are edited

    @property
    def forward(self) -> Function:
        """Its forward, which may be changed. Raises GraphError if the unit has none."""
        return self.edit("forward")

    def edit(self, name: str) -> Function:
        """Returns one of its functions, which may be changed without affecting copies of the
        model."""
        if name not in self.functions:
            raise GraphError(
                f"A {self.name} of grade {self.grade} has no function {name!r} that can be changed."
            )
        if name not in self._own:
            shared = self._own[name] = self.functions[name]
            self.functions[name] = shared.clone()
        return self.functions[name]

    def owns(self, name: str) -> bool:
        """Returns whether one of its functions may be changed: no copy of the unit shares it."""
        return name in self._own

    def define(self, function: Function) -> None:
        """Adds a function, or replaces the one of the same name."""
        self.functions[function.name] = function
        self._own[function.name] = None
        self.mark(changed=True, mutated=True)

    def restore_sharing(self) -> None:
        """Restores sharing of functions that were copied but not changed. References obtained
        before become read-only."""
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
        """Shares all functions with future copies, as they are now; they become read-only."""
        self._own = {}

    def _is_edited(self) -> bool:
        """Returns whether a function differs from its original."""
        return any(
            shared is not None
            and name in self.functions
            and not alike(self.functions[name], shared)
            for name, shared in self._own.items()
        )

    # Children and arguments

    def add_child(self, name: str, unit: "Unit") -> str:
        """Adds a child, with a number appended to its name if that is taken; returns the name."""
        free, number = name, 2
        while self.is_taken(free):
            free, number = f"{name}{number}", number + 1
        self.set_child(free, unit)
        return free

    def is_taken(self, name: str) -> bool:
        """Returns whether a name is in use, here or in every module."""
        names = (self.children, self.parameters, self.buffers, self.attributes, self.functions)
        return name in RESERVED or any(name in some for some in names)

    def set_child(self, name: str, unit: "Unit | None") -> None:
        """Adds or replaces a child.

        Calls in `starts` and `edits` of this unit that refer to removed units are dropped; those
        that refer to units inside the new child are kept. `Graph.replace` does the same for all
        ancestors. Raises GraphError for an invalid name, and if a unit would contain itself.
        """
        self._check_child(name, unit)
        before = self.children.get(name)
        self.children[name] = unit
        self.changed = True
        (self if unit is None else unit).mutated = True
        if before is not None and before is not unit:
            self.forget_gone()

    def forget_gone(self) -> None:
        """Drops starts and edits that refer to units which are not below this one."""
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
                f"{unit!r} cannot be put at {name!r}: it is not a Unit. Write Unit.of("
                "'torch.nn:Linear', 8, 2) for a layer, or convert(module).root for a module."
            )
        if unit is not None and any(inner is self for _, inner in unit.walk()):
            raise GraphError(f"{unit} cannot be put at {name!r}: {self} would contain itself.")

    def set_argument(self, name: str, value: Argument) -> None:
        """Changes an argument of the constructor by name. Raises GraphError without a `call`, and
        for a value that cannot be written in source."""
        if self.call is None:
            raise GraphError(f"The constructor call of this {self.name} is unknown.")
        check_constants(value, f"{self.name}, {name}")
        self.call = with_argument(self.call, name, value)
        self.mark(changed=True, mutated=True)

    def walk(self, prefix: str = "", *, repeated: bool = False) -> Iterator[tuple[str, "Unit"]]:
        """Yields (path, unit) of this unit and all below, parents first. A shared unit is yielded
        once, or with `repeated` at each of its paths."""
        seen: set[Unit] = set()
        coming = [(prefix, self)]
        while coming:
            path, unit = coming.pop()
            if unit in seen and not repeated:
                continue
            seen.add(unit)
            yield path, unit
            if unit.children:
                above = f"{path}." if path else ""
                below = [(above + name, child) for name, child in unit.children.items() if child]
                coming += reversed(below)

    @property
    def weights(self) -> "dict[str, Weight | None]":
        """Its parameters and buffers."""
        return {**self.parameters, **self.buffers}

    def arguments(self) -> Iterator[tuple[str, Argument]]:
        """Yields (description, argument) of all arguments in the unit, except those of nodes."""
        if self.call is not None:
            yield "the call", self.call.args
            if self.call.kwargs:
                yield "the call", (*self.call.kwargs.values(),)
        if self.attributes:
            yield "an attribute", self.attributes
        if self.parameters or self.buffers:
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
        """Replaces each leaf of its arguments by `change(leaf)`, except in starts and nodes."""
        for name in ("call", "attributes", "hooked"):
            if argument := getattr(self, name):
                setattr(self, name, rebuild_argument(argument, change))
        for weights in (self.parameters, self.buffers):
            for name, weight in weights.items():
                if weight is not None:
                    shape, start = rebuild_argument((weight.shape, weight.start), change)
                    weights[name] = replace(weight, shape=shape, start=start)
        if self.edits:
            self.edits = [replace(e, value=rebuild_argument(e.value, change)) for e in self.edits]

    def at(self, path: str) -> "Unit":
        """Returns the unit at a path below. Raises GraphError, with similar paths, if there is
        none."""
        unit = self.find(path)
        if unit is None:
            near = did_you_mean(path, [p for p, _ in self.walk()])
            raise GraphError(f"There is no unit {path!r}.{near}")
        return unit

    def find(self, path: str) -> "Unit | None":
        """Returns the unit at a path below; None if there is none."""
        unit: Unit | None = self
        for name in path.split(".") if path else ():
            unit = unit.children.get(name) if unit is not None else None
        return unit

    def innermost(self, path: str) -> "tuple[Unit, str]":
        """Returns the innermost unit on a path, and the rest of the path from there."""
        unit, names = self, path.split(".") if path else []
        while names and (child := unit.children.get(names[0])) is not None:
            unit, names = child, names[1:]
        return unit, ".".join(names)

    def path_to(self, unit: "Unit", inner: str = "") -> str:
        """Returns the path to a unit below, extended by the path `inner` inside it; "?" if the unit
        is not below."""
        path = next((path for path, below in self.walk() if below is unit), "?")
        return joined(path, inner)

    def shallow(self) -> "Unit":
        """Returns a copy with the same children; functions are shared until they are edited."""
        twin = object.__new__(Unit)
        twin.__dict__ = {
            name: value.copy() if (kind := type(value)) is dict or kind is list else value
            for name, value in self.__dict__.items()
        }
        if self.edits:
            twin.edits = [edit.moved({self: twin}) for edit in self.edits]
        twin._own = {}
        for name, shared in self._own.items():  # the caller of `edit` may still change it here
            if name in self.functions:
                twin.functions[name], twin._own[name] = self.functions[name].clone(), shared
        return twin

    def copy(self, copies: "dict[Unit, Unit]") -> "Unit":
        """Returns a deep copy."""
        if self in copies:
            return copies[self]
        twin = copies[self] = self.shallow()
        twin.children = {n: c and c.copy(copies) for n, c in self.children.items()}
        twin.call = map_made(self.call, lambda unit: unit.copy(copies))
        if self.starts or self.edits:
            twin.starts = [start.moved(copies) for start in self.starts]
            twin.edits = [edit.moved(copies) for edit in self.edits]
        return twin

    def __repr__(self) -> str:
        return f"<{self.grade} {self.name}>"


def joined(*paths: str) -> str:
    """Joins paths; an empty path denotes the place itself."""
    return ".".join(filter(None, paths))


def labels(unit: Unit) -> Sequence[str]:
    """Returns the labels by which a unit is found: those of its choices, or the name of a
    Placeholder."""
    return tuple(unit.facts.get("labels", ()))


# Containers of torch.nn, whose arguments become children

_MODULES = ("torch.nn", "torch.nn.modules.container")


def contained(target: str, args: Sequence[Argument]) -> dict[str, Any] | None:
    """Returns the children that a constructor call adds to a container; None for any other call."""
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
