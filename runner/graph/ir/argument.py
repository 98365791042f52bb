"""Constants among the arguments of nodes, beside Python's own."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, final

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


def text_literal(text: str) -> str:
    """A string as Python writes it, in double quotes where these need no escape."""
    literal = repr(text)
    return f'"{literal[1:-1]}"' if literal[0] == "'" and '"' not in text else literal
