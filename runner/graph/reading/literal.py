"""Python objects as constants of the IR: what a generated file can write down."""

import dataclasses
import enum
import functools
import inspect
import itertools
import sys
import types
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, final

import torch
import torch.nn.functional
from torch import Tensor, nn

from runner.errors import GraphError
from runner.graph.node import Argument
from runner.graph.unit import Call, Ref, Stored
from runner.nn.expression import Expression

SMALL = 16  # numbers of a tensor that are written out
GUESSES = 64  # attempts to find arguments that make an object again
_HOMES = ("torch.nn", "torch.nn.functional", "torch", "builtins", "math")  # the shortest ways in


def reference(thing: Any) -> str:
    """ "module:qualname" of a class or function. Raises GraphError when it cannot be imported."""
    name = getattr(thing, "__name__", "")
    for home in _HOMES:
        if vars(sys.modules.get(home, types)).get(name, _Nothing) is thing:
            return f"{home}:{name}"
    module, qualname = getattr(thing, "__module__", None), getattr(thing, "__qualname__", name)
    if not module or _found(module, qualname) is not thing:
        raise GraphError(
            f"{thing!r} cannot be written down: there is no {qualname!r} in {module!r}. Define it "
            "at the top of a module."
        )
    return f"{module}:{qualname}"


class _Nothing:
    """Stands for what is not there."""


def _found(module: str, qualname: str) -> Any:
    found: Any = sys.modules.get(module, _Nothing)
    for part in qualname.split("."):
        found = getattr(found, part, _Nothing)
    return found


@final
class Literals:
    """Writes objects as constants. `unit` is asked for modules among them; tensors too large to be
    written out go to `tensors` under a name of their own."""

    def __init__(self, unit: Callable[[nn.Module], Argument], tensors: dict[str, Tensor]) -> None:
        self._unit = unit
        self._tensors = tensors

    def of(self, value: Any) -> Argument:
        """The constant. Raises GraphError for what has none, saying what."""
        kind = type(value)
        if kind in _PLAIN:
            return value
        if kind is tuple or kind is list:
            return kind(self.of(item) for item in value)
        if isinstance(value, Expression):
            return value
        if isinstance(value, enum.Enum):  # before str and int, which it may be as well
            return Ref(f"{reference(kind)}.{value.name}")
        for base in kind.__mro__:
            write = _WRITERS.get(base)
            if write is not None:
                return write(self, value)
        return self._object(value)

    def call(self, target: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Call:
        """A call of `target` with these arguments."""
        named = {name: self.of(value) for name, value in kwargs.items()}
        return Call(reference(target), tuple(self.of(arg) for arg in args), named)

    def _tuple(self, value: tuple[Any, ...]) -> Argument:
        items = tuple(self.of(item) for item in value)
        return Call(reference(type(value)), items) if hasattr(value, "_fields") else items

    def _dict(self, value: dict[Any, Any]) -> Argument:
        return {self.of(key): self.of(item) for key, item in value.items()}

    def _ordered(self, value: "OrderedDict[Any, Any]") -> Argument:
        pairs = [(self.of(key), self.of(item)) for key, item in value.items()]
        return Call("collections:OrderedDict", (pairs,) if pairs else ())

    def _set(self, value: set[Any] | frozenset[Any]) -> Argument:
        items = sorted(value, key=repr)
        return Call(f"builtins:{type(value).__name__}", ([self.of(i) for i in items],))

    def _partial(self, value: "functools.partial[Any]") -> Argument:
        return self.call(functools.partial, (value.func, *value.args), value.keywords)

    def _tensor(self, value: Tensor) -> Argument:
        data = value.detach()
        if isinstance(value, nn.Parameter):
            return Call("torch.nn:Parameter", (self._tensor(data),), _frozen(value))
        if type(value) is not Tensor or value.is_meta:
            raise GraphError(
                f"A {type(value).__name__} of shape {tuple(value.shape)} has no literal."
            )
        if value.numel() <= SMALL and value.device.type == "cpu" and value.layout == torch.strided:
            return Call("torch:tensor", (data.tolist(),), {"dtype": Ref(f"torch:{_dtype(value)}")})
        name = f"t{len(self._tensors)}"
        self._tensors[name] = data.clone()
        return Stored(name)

    def _object(self, value: Any) -> Argument:
        """An object that its constructor makes again from attributes of the same name."""
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            state = {f.name: getattr(value, f.name) for f in dataclasses.fields(value) if f.init}
        else:
            state = _arguments(value)
        return self.call(type(value), (), state)

    def _method(self, value: Any) -> Argument:
        """A function, or a method of a class (`Function.apply`)."""
        owner = getattr(value, "__self__", None)
        if isinstance(owner, type):
            return Ref(f"{reference(owner)}.{value.__name__}")
        return Ref(reference(value))

    def _module(self, value: nn.Module) -> Argument:
        return self._unit(value)


def filled(tensor: Tensor) -> Call | None:
    """A call for a tensor that is the same number everywhere."""
    if tensor.numel() <= 1 or tensor.is_meta or tensor.is_complex():
        return None
    first = tensor.flatten()[0]
    if not bool((tensor == first).all()):
        return None
    kwargs = {} if tensor.dtype == torch.float32 else {"dtype": Ref(f"torch:{_dtype(tensor)}")}
    number = first.item()
    if number in (0, 1) and tensor.dtype != torch.bool:
        return Call("torch:ones" if number else "torch:zeros", (tuple(tensor.shape),), kwargs)
    return Call("torch:full", (tuple(tensor.shape), number), kwargs)


def _arguments(value: Any) -> dict[str, Any]:
    """Arguments that make an equal object. Raises GraphError when attributes do not tell them."""
    kind = type(value)
    problem = GraphError(f"A {kind.__module__}.{kind.__qualname__} has no literal.")
    if kind.__module__ == "builtins" or getattr(value, "__dict__", None) is None:
        raise problem
    try:
        names = inspect.signature(kind).parameters
    except (TypeError, ValueError) as error:
        raise problem from error
    known = {name: vars(value)[name] for name in names if name in vars(value)}
    missing = [name for name in names if name not in known]
    guesses = itertools.product([*vars(value).values()], repeat=len(missing))
    for guess in itertools.islice(guesses, GUESSES):
        state = known | dict(zip(missing, guess, strict=True))
        if _makes(kind, state, value):
            return state
    raise problem


def _makes(kind: type, state: dict[str, Any], value: Any) -> bool:
    """Whether these arguments make an object with the attributes of another."""
    try:
        twin = vars(kind(**state))
        return twin.keys() == vars(value).keys() and all(
            type(twin[name]) is type(item) and bool(twin[name] == item)
            for name, item in vars(value).items()
        )
    except Exception:  # whatever a foreign constructor raises
        return False


def _dtype(value: Tensor) -> str:
    return str(value.dtype).removeprefix("torch.")


def _frozen(value: Tensor) -> dict[str, Any]:
    return {} if value.requires_grad else {"requires_grad": False}


_PLAIN = frozenset({type(None), bool, int, float, complex, str, type(...)})
_WRITERS: dict[type, Callable[[Literals, Any], Argument]] = {
    bool: lambda _, value: bool(value),
    int: lambda _, value: int(value),
    float: lambda _, value: float(value),
    complex: lambda _, value: complex(value),
    str: lambda _, value: str(value),
    torch.dtype: lambda _, value: Ref(f"torch:{str(value).removeprefix('torch.')}"),
    torch.layout: lambda _, value: Ref(f"torch:{str(value).removeprefix('torch.')}"),
    torch.memory_format: lambda _, value: Ref(f"torch:{str(value).removeprefix('torch.')}"),
    torch.device: lambda _, value: Call("torch:device", (str(value),)),
    torch.Size: lambda _, value: tuple(value),
    tuple: Literals._tuple,
    list: lambda self, value: [self.of(item) for item in value],
    OrderedDict: Literals._ordered,
    dict: Literals._dict,
    set: Literals._set,
    frozenset: Literals._set,
    range: lambda _, value: Call("builtins:range", (value.start, value.stop, value.step)),
    slice: lambda self, v: slice(self.of(v.start), self.of(v.stop), self.of(v.step)),
    functools.partial: Literals._partial,
    Tensor: Literals._tensor,
    nn.Module: Literals._module,
    type: lambda _, value: Ref(reference(value)),
    types.FunctionType: lambda _, value: Ref(reference(value)),
    types.BuiltinFunctionType: Literals._method,
    types.MethodType: Literals._method,
    torch.jit.ScriptFunction: lambda _, value: Ref(reference(value)),
}
