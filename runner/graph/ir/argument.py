"""Constants that nodes take as arguments, in addition to those of Python."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, final

from runner.nested import leaves, rebuild

Argument = Any  # see `runner.graph.ir.node`
LeafType = TypeVar("LeafType")
UNRECORDED = (  # what to do about a module whose constructor call was not recorded
    "It was made before its model, for example when its file was imported, or loaded from a file: "
    "make it in the constructor of the model (in your own program, build the model inside "
    "`runner.graph.recording()`)."
)


@final
@dataclass(frozen=True, slots=True)
class Spec:
    """The shape and dtype (by name, for example "float32") of a tensor."""

    shape: tuple[int, ...]
    dtype: str = "float32"

    def __str__(self) -> str:
        return f"{self.dtype}[{', '.join(map(str, self.shape))}]"


# Constants in addition to those of Python. All are frozen and, but for calls, compare by value.


@final
@dataclass(frozen=True, slots=True)
class Ref:
    """An importable object: "module:qualname". A dtype is Ref("torch:float32")."""

    target: str

    @classmethod
    def of_torch(cls, thing: object) -> "Ref":
        """Returns the reference to a dtype, layout or memory format."""
        return cls(f"torch:{str(thing).removeprefix('torch.')}")

    @property
    def module(self) -> str:
        return self.target.partition(":")[0]

    @property
    def qualname(self) -> str:
        return self.target.partition(":")[2]

    @property
    def name(self) -> str:
        """The last component of the qualname."""
        return self.qualname.rpartition(".")[2]


@final
@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """An expression that is evaluated in place: a call of `target` ("module:qualname", or ".name"
    for a method of the first argument)."""

    target: str
    args: tuple[Argument, ...] = ()
    kwargs: Mapping[str, Argument] = field(default_factory=dict)


@final
@dataclass(frozen=True, slots=True)
class Stored:
    """A tensor without a short expression: `graph.tensors[name]`, which is saved to a file."""

    name: str


PLAIN = frozenset([type(None), bool, int, float, complex, str, type(...), Ref, Stored])


class Made:
    """An object that was constructed and may itself be passed to a constructor: a unit."""

    cls: Ref
    call: Call | None

    @property
    def name(self) -> str:
        """The name of its original class."""
        return self.cls.name


# The leaves of an argument are those of its containers (see `runner.nested`) and of its calls


def all_in(argument: Argument, wanted: type[LeafType]) -> list[LeafType]:
    """Returns all leaves of a class in an argument, duplicates included, but not those inside
    calls."""
    return [leaf for leaf in leaves(argument) if type(leaf) is wanted]


def leaves_and_calls(argument: Argument) -> list[Argument]:
    """Returns all leaves of an argument; a call precedes its own leaves."""
    plain = leaves(argument)
    if Call not in map(type, plain):
        return plain
    found = []
    for leaf in plain:
        found.append(leaf)
        if type(leaf) is Call:
            found += leaves_and_calls((leaf.args, {**leaf.kwargs}))
    return found


def is_constant(argument: Argument) -> bool:
    """Returns whether an argument consists of constants. Most do, and need no list of leaves."""
    kind = type(argument)
    if kind is tuple or kind is list:
        items = argument
    elif kind is Call:
        items = (*argument.args, *argument.kwargs.values()) if argument.kwargs else argument.args
    elif kind is dict:
        items = (*argument, *argument.values())
    else:
        return kind in PLAIN
    return PLAIN.issuperset(map(type, items)) or all(map(is_constant, items))


def rebuild_argument(argument: Argument, change: Callable[[Argument], Argument]) -> Argument:
    """Returns the argument with `change(leaf)` in place of each leaf, inside calls too."""

    def changed(leaf: Argument) -> Argument:
        if type(leaf) is not Call:
            return change(leaf)
        args, kwargs = rebuild((leaf.args, {**leaf.kwargs}), changed)
        return Call(leaf.target, args, kwargs)

    return rebuild(argument, changed)


def map_made(argument: Argument, change: Callable[[Any], Any]) -> Argument:
    """Returns the argument with `change(unit)` in place of each unit; itself if it is constant."""
    if is_constant(argument):
        return argument
    return rebuild_argument(argument, lambda leaf: change(leaf) if isinstance(leaf, Made) else leaf)


def text_literal(text: str) -> str:
    """Returns a string as a Python literal, in double quotes unless they would have to be
    escaped."""
    literal = repr(text)
    return f'"{literal[1:-1]}"' if literal[0] == "'" and '"' not in text else literal
