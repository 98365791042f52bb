"""Abstract values: what the evaluator knows of the values of a program before it runs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any, final

from torch import Tensor, nn

from runner.graph.frontend.python.source import FunctionNode
from runner.graph.frontend.reading.opaque import is_choice
from runner.graph.ir.node import Argument, Node, Value
from runner.nested import leaves
from runner.nn.values.expression import Expression


@final
class CallFrame:
    """The state of one call of a function: its variables, and where it looks up other names.

    Besides those of the source there are variables for exits: "$left" (whether the rest of a block
    is skipped), "$goes" (whether the loop goes on), "$broken" (whether it was left by a `break`),
    "$return" (whether the function is left), "$value" (what it returns) and "$raised" (whether an
    error was raised). Others with a "$" hold what syntax that a rule makes up reads: "$given",
    "$over", "$item", "$function" of iterators, "$made" of comprehensions, "$args" of wrappers.
    """

    def __init__(self, closure: "Closure", variables: "dict[str, Abstract]") -> None:
        self.closure = closure
        self.env = variables
        self.depth = 0  # of calls in place


@final
@dataclass(frozen=True, eq=False)
class Known:
    """An object that is known. `write` makes the argument for it, if it is not a constant of its
    own: a read of an attribute, or an operation on one. `origin` is the module and the name of the
    attribute that holds it."""

    thing: Any
    write: Callable[[], Argument] | None = None
    origin: tuple[nn.Module, str] | None = None


@final
@dataclass(frozen=True, eq=False)
class Items:
    """A tuple of which the items are known one by one."""

    items: "tuple[Abstract, ...]"


@final
@dataclass(frozen=True, eq=False)
class Named:
    """The keyword arguments that a function was called with: a dict that nobody else holds. What
    is in it is among the `dicts` of the evaluation."""


@final
@dataclass(frozen=True, eq=False)
class Iterated:
    """What a loop takes items from: a view of a dict ("items", "keys", "values"), or an iterator,
    whose items can be taken once: "zip", "enumerate", "iter" (of one sequence), or one that
    computes them only when they are taken, with `make`: "map", "filter", "generator"."""

    kind: str
    parts: "tuple[Abstract, ...]"
    start: "Abstract" = field(default_factory=lambda: Known(0))
    make: "Callable[[], Abstract] | None" = None


@final
@dataclass(frozen=True, eq=False)
class Closure:
    """A function that is called in place: one defined inside a function that is read, or a living
    one. `frame` is the one it was defined in, `function` the living function."""

    node: FunctionNode
    file: str
    defaults: "tuple[Abstract, ...]"
    keyword_defaults: "Mapping[str, Abstract]"
    frame: CallFrame | None = None
    function: FunctionType | None = None


@final
@dataclass(frozen=True, eq=False)
class Partial:
    """A `functools.partial` of values that are not all known."""

    function: "Abstract"
    args: "tuple[Abstract, ...]"
    kwargs: "Mapping[str, Abstract]"


@final
@dataclass(eq=False)
class Merged:
    """A variable after a node with blocks: its values at the end of each. It becomes an output of
    the node when it is first read."""

    node: Node
    values: "tuple[Abstract, ...]"
    name: str
    result: "Abstract | None" = None


@final
@dataclass(frozen=True, eq=False)
class Missing:
    """A variable without a value, or with one that cannot be represented; `why` is the message of
    its use, "" for a variable that was not assigned."""

    why: str = ""


Abstract = Value | Known | Items | Named | Iterated | Closure | Partial | Merged | Missing
VIEWS = ("items", "keys", "values")  # of dicts
FALSE, TRUE, NONE = Known(False), Known(True), Known(None)
NEVER = Missing()  # at the end of a block that is never reached
PLAIN = (type(None), bool, int, float, complex, str)


def is_static(value: Abstract) -> bool:
    """Returns whether operations on a value can be evaluated now: whether it is known, and depends
    neither on the sample nor on the values of tensors."""
    if type(value) is Items:
        return all(map(is_static, value.items))
    if type(value) is not Known or isinstance(value.thing, Tensor):
        return False
    if isinstance(value.thing, tuple | list | dict | slice):
        return not any(map(is_undecided, leaves(value.thing, subclasses=True)))
    return not is_undecided(value.thing)


def is_laid_out(value: Abstract) -> bool:
    """Returns whether it is known which items a value has; these may depend on the sample."""
    return is_static(value) or (
        type(value) is Known and isinstance(value.thing, tuple | list | dict)
    )


def is_undecided(thing: object) -> bool:
    """Returns whether an object stands for one that the sample decides."""
    return isinstance(thing, Expression) or is_open(thing)


def is_open(module: object) -> bool:
    """Returns whether a module is a choice of modules."""
    return isinstance(module, nn.Module) and is_choice(type(module))


def is_written(value: Abstract) -> bool:
    """Returns whether a value is written as a read of an attribute, or an operation on one."""
    return type(value) is Known and value.write is not None


def is_held(value: Abstract) -> bool:
    """Returns whether a value is a list, dict or set that an attribute holds."""
    return type(value) is Known and value.origin is not None and is_changeable(value.thing)


def is_changeable(thing: Any) -> bool:
    """Returns whether an object can be changed in place: a container, or a tensor."""
    if isinstance(thing, tuple):
        return any(map(is_changeable, thing))
    return isinstance(thing, list | dict | set | Tensor)


def thing_of(value: Abstract) -> Any:
    """Returns the object that a value which is static, or laid out, stands for."""
    if type(value) is Items:
        return tuple(map(thing_of, value.items))
    assert type(value) is Known, "only such values have one"
    return value.thing


def is_same(one: Abstract, other: Abstract) -> bool:
    """Returns whether two values are certainly the same."""
    if one is other:
        return True
    if type(one) is Items and type(other) is Items:
        return len(one.items) == len(other.items) and all(map(is_same, one.items, other.items))
    if type(one) is not Known or type(other) is not Known:
        return False
    a, b = one.thing, other.thing
    return a is b or (type(a) is type(b) and isinstance(a, PLAIN) and repr(a) == repr(b))


def sequence_of(value: Abstract) -> Abstract:
    """Returns the sequence that an iterator goes over, if it goes over one; else the value."""
    if type(value) is Iterated and value.kind == "iter":
        return value.parts[0]
    return value


def parts_of(value: Abstract) -> "tuple[Abstract, ...]":
    """Returns the values that a value is made of."""
    match value:
        case Items():
            return value.items
        case Iterated():
            return (*value.parts, value.start)
        case Partial():
            return (value.function, *value.args, *value.kwargs.values())
    return ()


def holds_parts(thing: Any) -> bool:
    """Returns whether a container holds tensors or modules."""
    return any(isinstance(leaf, Tensor | nn.Module) for leaf in leaves(thing, subclasses=True))


def is_constant(value: Abstract, thing: object) -> bool:
    """Returns whether a value is known to be a given constant (True, False, None)."""
    return type(value) is Known and value.thing is thing


def closure_of(function: FunctionType, node: FunctionNode, file: str) -> Closure:
    """Returns a living function as one that is called in place."""
    named = function.__kwdefaults__ or {}
    return Closure(
        node, file,
        tuple(map(Known, function.__defaults__ or ())),
        {name: Known(thing) for name, thing in named.items()},
        function=function,
    )  # fmt: skip
