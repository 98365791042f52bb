"""Deep comparison of Python objects: type, content, all state, and sharing of objects inside."""

import types
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn

from runner.graph.class_source.scopes import mangled
from runner.nn.values.expression import Expression

_CHOSEN = "runner.nn.values.value"  # the module of callable likenesses of plain values
_BY_IDENTITY = (
    type, types.FunctionType, types.ModuleType, nn.Module, Expression, torch._C.ScriptFunction,
)  # fmt: skip
_EQUAL = frozenset({
    bool, int, str, bytes, bytearray, range, type(None), type(...), type(NotImplemented),
    torch.dtype, torch.device, torch.layout, torch.memory_format, torch.Size,
    torch.qscheme, torch.finfo, torch.iinfo,
})  # fmt: skip


def same_state(one: Any, other: Any) -> bool:
    """Returns whether two objects have one type and equal state at any depth, with the same objects
    shared inside. False if that cannot be determined."""
    try:
        return _StateComparison().same(one, other)
    except Exception:  # whatever the methods of foreign objects raise
        return False


def same_when_rebuilt(one: Any, other: Any) -> bool:
    """Returns whether two objects are equal as for `same_state`, if made by one constructor in two
    runs: modules equal others of their class, functions others with their code."""
    try:
        return _StateComparison(rebuilt=True).same(one, other)
    except Exception:  # whatever the methods of foreign objects raise
        return False


def plain_kind(value: Any) -> type | None:
    """Returns the plain type that a value of a choice is a likeness of; None for other objects."""
    kind = type(value)
    return kind.__mro__[1] if kind.__module__ == _CHOSEN and len(kind.__mro__) > 2 else None


def state_of(value: Any) -> dict[str, Any]:
    """Returns the attributes of an object, slots included."""
    state = {**getattr(value, "__dict__", {})}
    for owner in type(value).__mro__:
        slots = vars(owner).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            key = mangled(name, owner)
            if name not in ("__dict__", "__weakref__") and hasattr(value, key):
                state[key] = getattr(value, key)
    return state


@final
class _StateComparison:
    """One comparison; records which objects correspond."""

    def __init__(self, *, rebuilt: bool = False) -> None:
        self._rebuilt = rebuilt
        self._ours: dict[int, Any] = {}
        self._theirs: dict[int, Any] = {}
        self._kept: list[Any] = []  # so that ids are not reused

    def same(self, one: Any, other: Any) -> bool:
        """Returns whether two objects are equal."""
        if (plain := plain_kind(one)) is not None:
            one = plain(one)
        kind = type(one)
        if kind is not type(other):
            return False
        if kind in _EQUAL:
            return bool(one == other)
        if kind is float or kind is complex:
            return repr(one) == repr(other)  # tells -0.0 from 0.0, and has nan equal
        if isinstance(one, _BY_IDENTITY):
            return one is other or (self._rebuilt and self._is_rebuilt(one, other))
        if kind is tuple or kind is frozenset:
            return self._contents(kind, one, other)
        known = self._ours.get(id(one)), self._theirs.get(id(other))
        if known != (None, None):
            return known[0] is other and known[1] is one
        self._ours[id(one)], self._theirs[id(other)] = other, one
        self._kept.append(one)
        return one is other or self._contents(kind, one, other)

    def _is_rebuilt(self, one: Any, other: Any) -> bool:
        """Returns whether an object without comparable state may come from a rerun of one code."""
        if isinstance(one, nn.Module):
            return True  # of one class; their insides are compared as modules
        if not isinstance(one, types.FunctionType) or one.__code__ != other.__code__:
            return False
        cells = ([c.cell_contents for c in f.__closure__ or ()] for f in (one, other))
        return self._items(*cells) and self.same(one.__defaults__, other.__defaults__)

    def _contents(self, kind: type, one: Any, other: Any) -> bool:
        for base in kind.__mro__:
            compare = _CONTENTS.get(base)
            if compare is not None and (base is kind or compare in _OF_SUBCLASSES):
                return compare(self, one, other)
        return self._objects(one, other)

    def _items(self, ours: Any, theirs: Any) -> bool:
        ours, theirs = [*ours], [*theirs]
        return len(ours) == len(theirs) and all(map(self.same, ours, theirs))

    def _dicts(self, one: dict[Any, Any], other: dict[Any, Any]) -> bool:
        return self._items(one, other) and self._items(one.values(), other.values())

    def _sets(self, one: set[Any], other: set[Any]) -> bool:
        return one == other and self._items(sorted(one, key=repr), sorted(other, key=repr))

    def _slices(self, one: slice, other: slice) -> bool:
        parts = ((part.start, part.stop, part.step) for part in (one, other))
        return self._items(*parts)

    def _methods(self, one: Any, other: Any) -> bool:
        names = one.__name__ == other.__name__
        return names and self.same(one.__self__, other.__self__)

    def _partials(self, one: "partial[Any]", other: "partial[Any]") -> bool:
        parts = ((p.func, p.args, p.keywords, vars(p)) for p in (one, other))
        return self._items(*parts)

    def _tensors(self, one: Tensor, other: Tensor) -> bool:
        ours, theirs = (
            (t.shape, t.dtype, t.layout, t.device, t.requires_grad) for t in (one, other)
        )
        if ours != theirs or one.is_meta or not self._dicts(vars(one), vars(other)):
            return False
        if one.grad_fn is not None or one.layout is not torch.strided:
            return False
        return torch.equal(_bits(one), _bits(other))

    def _arrays(self, one: Any, other: Any) -> bool:
        if (one.dtype, one.shape) != (other.dtype, other.shape):
            return False
        if one.dtype == object:
            return self._items(one.flat, other.flat)
        return bool(one.tobytes() == other.tobytes())

    def _generators(self, one: torch.Generator, other: torch.Generator) -> bool:
        return one.device == other.device and torch.equal(one.get_state(), other.get_state())

    def _objects(self, one: Any, other: Any) -> bool:
        if _is_value(type(one)):
            return bool(one == other)
        return self._dicts(state_of(one), state_of(other)) and self._items(
            _reduced(one), _reduced(other)
        )


def _bits(tensor: Tensor) -> Tensor:
    """Returns the elements of a tensor as bytes, so that nan equals itself."""
    data = tensor.detach().resolve_conj().resolve_neg().contiguous()
    return data.reshape(-1).view(torch.uint8) if data.numel() else data


def _is_value(cls: type) -> bool:
    """Returns whether objects of a class are equal if their state is: paths, decimals, patterns."""
    home = cls.__module__.partition(".")[0]
    return home in _VALUES and cls.__hash__ is not None


_VALUES = frozenset({
    *("datetime", "decimal", "fractions", "ipaddress", "numbers", "pathlib", "re", "uuid"),
})  # fmt: skip


def _reduced(value: Any) -> Iterator[Any]:
    """Yields the parts of an object in the copy protocol: constructor, state and items."""
    yield from ([*part] if isinstance(part, Iterator) else part for part in value.__reduce_ex__(4))


_CONTENTS: dict[type, Callable[[_StateComparison, Any, Any], bool]] = {
    list: _StateComparison._items, tuple: _StateComparison._items, dict: _StateComparison._dicts,
    set: _StateComparison._sets, frozenset: _StateComparison._sets, slice: _StateComparison._slices,
    types.MethodType: _StateComparison._methods, types.BuiltinMethodType: _StateComparison._methods,
    partial: _StateComparison._partials, Tensor: _StateComparison._tensors,
    np.ndarray: _StateComparison._arrays, np.generic: _StateComparison._arrays,
    torch.Generator: _StateComparison._generators, types.MappingProxyType: _StateComparison._dicts,
}  # fmt: skip
_OF_SUBCLASSES = (_StateComparison._tensors, _StateComparison._arrays)
