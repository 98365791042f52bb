"""Python objects as constants of the IR, which generated source can contain."""

import enum
import functools
import itertools
import re
import types
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

import numpy as np
import torch
import torch.nn.functional
from torch import Tensor, nn

from runner.errors import GraphError
from runner.graph.frontend.literals.object_literals import object_literal
from runner.graph.frontend.literals.object_state import plain_kind, same_state
from runner.graph.frontend.literals.references import reference as reference
from runner.graph.ir.node import Argument
from runner.graph.ir.signature import locate
from runner.graph.ir.unit import Call, Ref, Stored
from runner.nested import rebuild
from runner.nn.values.expression import Expression
from runner.nn.values.value import is_decided

DECIDED = "runner.nn:decided"  # makes a value of a choice callable
SMALL = 16  # elements of a tensor that is written as a list
ARRAY = 4096  # elements of a numpy array that is written as a list


@final
class Literals:
    """A writer of objects as constants. `unit` returns the unit of a module among them; large
    tensors are stored in `tensors` under new names.

    A constant is evaluated and compared with the object, all state included, so that no state is
    lost that fields or constructor arguments do not tell.
    """

    def __init__(self, unit: Callable[[nn.Module], Argument], tensors: dict[str, Tensor]) -> None:
        self._unit = unit
        self._tensors = tensors
        self._modules: dict[int, tuple[Argument, nn.Module]] = {}  # by the id of either
        self._inside: set[int] = set()  # ids of the objects around the one being written

    def of(self, value: Any) -> Argument:
        """Returns the constant for an object. Raises GraphError if there is none."""
        if type(value) in _PLAIN or isinstance(value, Expression):
            return value
        before = {*self._tensors}
        try:
            argument = self.write(value)
            if not same_state(value, self.evaluated(argument)):
                raise _no_literal(value, "its state cannot be written completely")
        except BaseException:
            for name in self._tensors.keys() - before:
                del self._tensors[name]
            raise
        return argument

    def callable(self, value: Any) -> Argument:
        """Returns the constant for an object in which values of choices can be called, as in the
        model."""
        if _is_chosen(value):
            return Call(DECIDED, (self.of(value),))
        if not _holds_chosen(value, set()):
            return self.of(value)  # checks that all of its state is kept
        if type(value) is dict:
            return {self.of(key): self.callable(item) for key, item in value.items()}
        return type(value)(self.callable(item) for item in value)

    def write(self, value: Any) -> Argument:
        """Returns the constant without comparing it with the object. Raises GraphError as `of`
        does."""
        kind = type(value)
        if kind in _PLAIN or isinstance(value, Expression):
            return value
        if id(value) in self._inside:
            raise _no_literal(value, "it contains itself")
        self._inside.add(id(value))
        try:
            return self._written(value, kind)
        finally:
            self._inside.discard(id(value))

    def _written(self, value: Any, kind: type) -> Argument:
        if isinstance(value, enum.Enum):  # before str and int, which it may be as well
            return self._member(value)
        if isinstance(getattr(kind, "__members__", None), Mapping):  # an enum of C++
            return Ref(f"{reference(kind)}.{value.name}")
        if (plain := plain_kind(value)) is not None:
            return self.write(plain(value))
        for base in kind.__mro__:
            write = _WRITERS.get(base)
            if write is not None and (base is kind or base in _WITH_SUBCLASSES):
                return write(self, value)
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return Call(reference(kind), tuple(map(self.write, value)))
        return object_literal(value, self)

    def evaluated(self, argument: Argument) -> Any:
        """Returns the object that a constant makes."""
        return rebuild(argument, self._evaluated)

    def _evaluated(self, argument: Argument) -> Any:
        kind = type(argument)
        if kind is Ref:
            return locate(argument.target)
        if kind is Stored:
            return self._tensors[argument.name]
        if kind is Call:
            args, kwargs = self.evaluated((argument.args, {**argument.kwargs}))
            if argument.target[:1] == ".":
                return getattr(args[0], argument.target[1:])(*args[1:], **kwargs)
            return locate(argument.target)(*args, **kwargs)
        known = self._modules.get(id(argument))
        return argument if known is None else known[1]

    def _member(self, value: enum.Enum) -> Argument:
        kind = type(value)
        if getattr(kind, value.name or "", None) is value:
            return Ref(f"{reference(kind)}.{value.name}")
        return Call(reference(kind), (self.write(value.value),))

    def _sequence(self, value: Sequence[Any]) -> Argument:
        items = [self.write(item) for item in value]
        return tuple(items) if isinstance(value, tuple) else items

    def _dict(self, value: dict[Any, Any]) -> Argument:
        return {self.write(key): self.write(item) for key, item in value.items()}

    def _ordered(self, value: "OrderedDict[Any, Any]") -> Argument:
        pairs = [(self.write(key), self.write(item)) for key, item in value.items()]
        return Call("collections:OrderedDict", (pairs,) if pairs else ())

    def _defaults(self, value: "defaultdict[Any, Any]") -> Argument:
        return Call(
            "collections:defaultdict", (self.write(value.default_factory), self._dict(value))
        )

    def _counter(self, value: "Counter[Any]") -> Argument:
        return Call("collections:Counter", (self._dict(value),))

    def _deque(self, value: "deque[Any]") -> Argument:
        most = {} if value.maxlen is None else {"maxlen": value.maxlen}
        return Call("collections:deque", ([*map(self.write, value)],), most)

    def _set(self, value: set[Any] | frozenset[Any]) -> Argument:
        items = [self.write(item) for item in sorted(value, key=repr)]
        return Call(f"builtins:{type(value).__name__}", (items,) if items else ())

    def _bytes(self, value: bytes | bytearray) -> Argument:
        made = Call(".encode", (bytes(value).decode("latin-1"), "latin-1"))
        return made if type(value) is bytes else Call("builtins:bytearray", (made,))

    def _partial(self, value: "functools.partial[Any]") -> Argument:
        args = (self.write(value.func), *map(self.write, value.args))
        kwargs = {name: self.write(item) for name, item in value.keywords.items()}
        return Call("functools:partial", args, kwargs)

    def _tensor(self, value: Tensor) -> Argument:
        data = value.detach()
        if type(value) is nn.Parameter:
            return Call("torch.nn:Parameter", (self._tensor(data),), _frozen(value))
        if type(value) is not Tensor or value.is_meta:
            raise GraphError(
                f"A {type(value).__name__} of shape {tuple(value.shape)} has no literal."
            )
        if value.numel() <= SMALL and value.device.type == "cpu" and value.layout == torch.strided:
            options = {"requires_grad": True} if value.requires_grad else {}
            kind = {"dtype": Ref.of_torch(value.dtype)}
            if value.numel() or value.shape == (0,):
                return Call("torch:tensor", (data.tolist(),), {**kind, **options})
        stored = self._stored(data.clone())
        return Call(".requires_grad_", (stored,)) if value.requires_grad else stored

    def _array(self, value: Any) -> Argument:
        if value.dtype.kind not in "biufcUSmM" and not value.dtype.isbuiltin:
            raise _no_literal(value, f"its elements are {value.dtype}")
        if isinstance(value, np.generic):
            return self._scalar(value)
        kind = {"dtype": str(value.dtype)}
        if not value.size:
            return Call("numpy:zeros", (value.shape,), kind)
        if value.size > ARRAY:
            return self._large(value)
        plain = value.astype(np.int64) if value.dtype.kind in "mM" else value
        return Call("numpy:array", (self.write(plain.tolist()),), kind)

    def _scalar(self, value: Any) -> Argument:
        if value.dtype.kind in "mM":
            unit = np.datetime_data(value.dtype)[0]
            return Call(reference(type(value)), (int(value.astype(np.int64)), unit))
        return Call(reference(type(value)), (value.item(),))

    def _large(self, value: Any) -> Argument:
        """Writes an array as the tensor with its elements, which is stored."""
        try:
            data = torch.from_numpy(np.ascontiguousarray(value).copy())
        except TypeError:
            raise _no_literal(
                value, f"it has {value.size} elements of {value.dtype}, which no tensor has"
            ) from None
        return Call(".copy", (Call(".numpy", (self._stored(data),)),))

    def _stored(self, data: Tensor) -> Stored:
        name = next(n for i in itertools.count() if (n := f"t{i}") not in self._tensors)
        self._tensors[name] = data
        return Stored(name)

    def _generator(self, value: torch.Generator) -> Argument:
        return Call(".manual_seed", (Call("torch:Generator"), value.initial_seed()))

    def _method(self, value: Any) -> Argument:
        """Writes a function, or a method of a class (`Function.apply`) or object."""
        owner = getattr(value, "__self__", None)
        if isinstance(owner, type):
            return Ref(f"{reference(owner)}.{value.__name__}")
        if owner is None or isinstance(owner, types.ModuleType):
            return Ref(reference(value))
        return Call("builtins:getattr", (self.write(owner), value.__name__))

    def _module(self, value: nn.Module) -> Argument:
        if id(value) not in self._modules:
            made = self._unit(value)
            self._modules[id(value)] = self._modules[id(made)] = made, value
        return self._modules[id(value)][0]


def _is_chosen(value: Any) -> bool:
    return isinstance(value, Expression) or is_decided(value)


def _holds_chosen(value: Any, seen: set[int]) -> bool:
    """Returns whether a list, tuple or dict contains a value of a choice."""
    if type(value) not in (tuple, list, dict) or id(value) in seen:
        return False
    seen.add(id(value))
    items = value.values() if type(value) is dict else value
    return any(_is_chosen(item) or _holds_chosen(item, seen) for item in items)


def _no_literal(value: Any, why: str) -> GraphError:
    kind = type(value)
    return GraphError(f"A {kind.__module__}.{kind.__qualname__} has no literal: {why}.")


def filled(tensor: Tensor) -> Call | None:
    """Returns a call that makes a tensor of one number; None if its elements differ."""
    if tensor.numel() <= 1 or tensor.is_meta or tensor.is_complex():
        return None
    first = tensor.flatten()[0]
    if not bool((tensor == first).all()):
        return None
    kwargs = {} if tensor.dtype == torch.float32 else {"dtype": Ref.of_torch(tensor.dtype)}
    number = first.item()
    if number in (0, 1) and tensor.dtype != torch.bool:
        return Call("torch:ones" if number else "torch:zeros", (tuple(tensor.shape),), kwargs)
    return Call("torch:full", (tuple(tensor.shape), number), kwargs)


def _frozen(value: Tensor) -> dict[str, Any]:
    return {} if value.requires_grad else {"requires_grad": False}


_PLAIN = frozenset({type(None), bool, int, float, complex, str, type(...)})
_WRITERS: dict[type, Callable[[Literals, Any], Argument]] = {
    torch.dtype: lambda _, value: Ref.of_torch(value),
    torch.layout: lambda _, value: Ref.of_torch(value),
    torch.memory_format: lambda _, value: Ref.of_torch(value),
    torch.device: lambda _, value: Call("torch:device", (str(value),)),
    torch.Size: lambda _, value: Call("torch:Size", (tuple(value),)),
    torch.Generator: Literals._generator,
    tuple: Literals._sequence,
    list: Literals._sequence,
    OrderedDict: Literals._ordered,
    defaultdict: Literals._defaults,
    Counter: Literals._counter,
    deque: Literals._deque,
    dict: Literals._dict,
    set: Literals._set,
    frozenset: Literals._set,
    bytes: Literals._bytes,
    bytearray: Literals._bytes,
    range: lambda _, value: Call("builtins:range", (value.start, value.stop, value.step)),
    slice: lambda self, v: slice(self.write(v.start), self.write(v.stop), self.write(v.step)),
    functools.partial: Literals._partial,
    np.ndarray: Literals._array,
    np.generic: Literals._array,
    np.dtype: lambda _, value: Call("numpy:dtype", (str(value),)),
    np.ufunc: lambda _, value: Ref(f"numpy:{value.__name__}"),
    torch.qscheme: lambda _, value: Ref.of_torch(value),
    torch.finfo: lambda _, value: Call("torch:finfo", (Ref(f"torch:{value.dtype}"),)),
    torch.iinfo: lambda _, value: Call("torch:iinfo", (Ref(f"torch:{value.dtype}"),)),
    types.MappingProxyType: lambda self, value: Call(
        "types:MappingProxyType", (self._dict(value),)
    ),
    functools._lru_cache_wrapper: lambda _, value: Ref(reference(value)),
    re.Pattern: lambda _, value: Call("re:compile", (value.pattern, value.flags)),
    Tensor: Literals._tensor,
    nn.Module: Literals._module,
    type: lambda _, value: Ref(reference(value)),
    types.FunctionType: lambda _, value: Ref(reference(value)),
    types.BuiltinFunctionType: Literals._method,
    types.MethodType: Literals._method,
    torch._C.ScriptFunction: lambda _, value: Ref(reference(value)),
}
_WITH_SUBCLASSES = frozenset({Tensor, nn.Module, type, np.generic, np.dtype})
