"""What stands among the arguments of nodes: values, and constants beside Python's own."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar, final

if TYPE_CHECKING:
    from runner.graph.ir.node import Block, Node

Argument = Any  # see `runner.graph.ir.node`
Kind = TypeVar("Kind")


@final
@dataclass(frozen=True, slots=True)
class Spec:
    """What is known of a tensor: its shape, and its dtype by name, for example "float32"."""

    shape: tuple[int, ...]
    dtype: str = "float32"

    def __str__(self) -> str:
        return f"{self.dtype}[{', '.join(map(str, self.shape))}]"


@final
class Value:
    """What a node gives, or a block is given. `name` is how the source calls it, "" for nothing."""

    __slots__ = ("is_input", "name", "owner", "spec", "users")

    def __init__(self, name: str, owner: "Node | Block", *, is_input: bool = False) -> None:
        self.name = name
        self.owner: Any = owner
        self.is_input = is_input  # of a block
        self.users: dict[Node, None] = {}  # nodes that have it among their arguments, in order
        self.spec: Spec | None = None  # filled by shape propagation

    @property
    def node(self) -> "Node | None":
        """The node that gives it; None for an input of a block."""
        return None if self.is_input else self.owner

    def replace_all_uses_with(self, other: Argument) -> None:
        """Put `other` wherever this value is an argument."""
        for user in [*self.users]:
            user.replace_input(self, other)

    def __repr__(self) -> str:
        return f"%{self.name or '_'}"


def map_values(argument: Argument, change: Callable[[Value], Argument]) -> Argument:
    """The argument with every value in it, however deep, changed."""
    kind = type(argument)
    if kind is Value:
        return change(argument)
    if kind is tuple or kind is list:
        return kind(map_values(item, change) for item in argument)
    if kind is dict:
        return {map_values(k, change): map_values(v, change) for k, v in argument.items()}
    if kind is slice:
        parts = (argument.start, argument.stop, argument.step)
        return slice(*(map_values(part, change) for part in parts))
    return argument


def values_in(argument: Argument) -> Iterator[Value]:
    """All values in an argument, in order, as often as they stand there."""
    return all_in(argument, Value)


def all_in(argument: Argument, wanted: type[Kind]) -> Iterator[Kind]:
    """All things of a class in an argument, in order, as often as they stand there."""
    kind = type(argument)
    if kind is wanted:
        yield argument
    elif kind is tuple or kind is list:
        for item in argument:
            yield from all_in(item, wanted)
    elif kind is dict:
        for key, item in argument.items():
            yield from all_in(key, wanted)
            yield from all_in(item, wanted)
    elif kind is slice:
        for part in (argument.start, argument.stop, argument.step):
            yield from all_in(part, wanted)


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


def map_made(argument: Argument, change: Callable[[Any], Any]) -> Argument:
    """The argument with every unit in it, however deep in containers and calls, changed."""
    kind = type(argument)
    if kind is tuple or kind is list:
        return kind([map_made(item, change) for item in argument])
    if kind is dict:
        return {name: map_made(item, change) for name, item in argument.items()}
    if kind is Call:
        args, kwargs = map_made((argument.args, dict(argument.kwargs)), change)
        return Call(argument.target, args, kwargs)
    return change(argument) if isinstance(argument, Made) else argument
