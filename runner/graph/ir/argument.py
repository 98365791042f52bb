"""Constants among the arguments of nodes, beside Python's own."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, final

from runner.nested import leaves, rebuild

Argument = Any  # see `runner.graph.ir.node`
LeafType = TypeVar("LeafType")


@final
@dataclass(frozen=True, slots=True)
class Spec:
    """What is known of a tensor: its shape, and its dtype by name, for example "float32"."""

    shape: tuple[int, ...]
    dtype: str = "float32"

    def __str__(self) -> str:
        return f"{self.dtype}[{', '.join(map(str, self.shape))}]"


# Constants, beside Python's own plain ones. All are frozen, and compare by value.


@final
@dataclass(frozen=True, slots=True)
class Ref:
    """Something importable: "module:qualname". A dtype is Ref("torch:float32")."""

    target: str

    @property
    def module(self) -> str:
        return self.target.partition(":")[0]

    @property
    def qualname(self) -> str:
        return self.target.partition(":")[2]

    @property
    def name(self) -> str:
        """The last part of the qualname."""
        return self.qualname.rpartition(".")[2]


@final
@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """An expression that is evaluated where it stands in the source: a call of `target`
    ("module:qualname", or ".name" for a method of the first argument)."""

    target: str
    args: tuple[Argument, ...] = ()
    kwargs: Mapping[str, Argument] = field(default_factory=dict)


@final
@dataclass(frozen=True, slots=True)
class Stored:
    """A tensor that has no short expression: `graph.tensors[name]`, kept in a file."""

    name: str


class Made:
    """Something that was constructed, and may be given to a constructor: a unit."""

    cls: Ref
    call: Call | None

    @property
    def name(self) -> str:
        """The name of the class it came from."""
        return self.cls.name


# The leaves of an argument are those of its containers (see `runner.nested`), and of its calls


def all_in(argument: Argument, wanted: type[LeafType]) -> list[LeafType]:
    """All things of a class in an argument, but for those in calls, as often as they are there."""
    return [leaf for leaf in leaves(argument) if type(leaf) is wanted]


def leaves_and_calls(argument: Argument) -> list[Argument]:
    """All leaves of an argument; a call comes in front of its own leaves."""
    found = []
    for leaf in leaves(argument):
        found.append(leaf)
        if type(leaf) is Call:
            found += leaves_and_calls((leaf.args, {**leaf.kwargs}))
    return found


def rebuild_argument(argument: Argument, change: Callable[[Argument], Argument]) -> Argument:
    """The argument with `change(leaf)` in place of each leaf; calls are made anew."""

    def changed(leaf: Argument) -> Argument:
        if type(leaf) is not Call:
            return change(leaf)
        args, kwargs = rebuild((leaf.args, {**leaf.kwargs}), changed)
        return Call(leaf.target, args, kwargs)

    return rebuild(argument, changed)


def map_made(argument: Argument, change: Callable[[Any], Any]) -> Argument:
    """The argument with every unit in it changed."""
    return rebuild_argument(argument, lambda leaf: change(leaf) if isinstance(leaf, Made) else leaf)


def text_literal(text: str) -> str:
    """A string as Python writes it, in double quotes where these need no escape."""
    literal = repr(text)
    return f'"{literal[1:-1]}"' if literal[0] == "'" and '"' not in text else literal
