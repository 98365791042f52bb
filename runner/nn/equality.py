"""Structural equality of modules: equal classes, constructor calls and attributes."""

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass
from functools import partial
from types import FunctionType, MethodType
from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn

from runner.nn.recording.construction_record import KEY, record_of
from runner.nn.recording.torch_functions import unwatched
from runner.nn.symbolic_modules import Described
from runner.nn.values.build import CONTAINERS, is_leaf
from runner.nn.values.expression import Expression

EMPTY = (dict, OrderedDict)
TREE = ("_modules", "_parameters", "_buffers", KEY)  # compared separately


def same_structure(one: nn.Module, other: nn.Module) -> bool:
    """Returns whether two modules are equal except for the values of their parameters."""
    with unwatched():
        return _Comparison(deep=True).same(one, other)


def same_value(one: object, other: object) -> bool:
    """Returns whether two objects are structurally equal, at any depth."""
    return _Comparison(deep=True).same(one, other)


def differences(one: nn.Module, other: nn.Module) -> list[str]:
    """Returns the paths of modules that differ in two symbolic builds of a space, under its first
    and its last candidates; "" is the model itself.

    They differ if a number was read from a symbolic module, as in `nn.Linear(conv.out_channels,
    10)`, which is right for one candidate only.
    """
    ours, theirs = dict(_tree("", one)), dict(_tree("", other))
    if ours.keys() != theirs.keys():
        return sorted(ours.keys() ^ theirs.keys())
    comparison = _Comparison(deep=False)
    return [path for path in ours if not comparison.built_alike(ours[path], theirs[path])]


@final
class _Comparison:
    """One comparison; if `deep`, it descends into modules and compares the values of tensors."""

    def __init__(self, *, deep: bool) -> None:
        self.deep = deep
        self._seen: set[tuple[int, int]] = set()

    def built_alike(self, one: nn.Module, other: nn.Module) -> bool:
        """Returns whether two modules have equal classes, constructor calls, fills and
        attributes."""
        if type(one) is not type(other) or not self._same_records(one, other):
            return False
        if is_leaf(type(one)):
            return True  # its tensors and attributes follow from the call
        if isinstance(one, Described) and isinstance(other, Described):
            return self.same(one.facts(), other.facts())
        return self.same(_attributes(one), _attributes(other))

    def _same_records(self, one: nn.Module, other: nn.Module) -> bool:
        ours, theirs = record_of(one), record_of(other)
        if ours is None or theirs is None:
            return ours is theirs
        if not self.same(_unknown_shapes(one), _unknown_shapes(other)):
            return False
        if isinstance(one, (Described, *CONTAINERS)):
            return self.same(ours.fills, theirs.fills)
        return self.same(*((r.args, r.kwargs, r.origins, r.fills) for r in (ours, theirs)))

    def same(self, one: Any, other: Any) -> bool:
        """Returns whether two values are equal, at any depth of containers."""
        if one is other or (id(one), id(other)) in self._seen:
            return True
        if isinstance(one, Expression):
            return one.same_as(other)
        if type(one) is not type(other):
            return False
        if isinstance(one, tuple | list):
            return len(one) == len(other) and all(map(self.same, one, other))
        if isinstance(one, dict):
            return list(one) == list(other) and self._all((one[k], other[k]) for k in one)
        if isinstance(one, Tensor):
            return self._same_tensor(one, other)
        if isinstance(one, np.ndarray) and not one.dtype.hasobject:
            kinds = [(array.shape, array.dtype) for array in (one, other)]
            return kinds[0] == kinds[1] and bool(one.tobytes() == other.tobytes())
        if isinstance(one, nn.Module) and not self.deep:
            return True  # it is compared at its own path
        if not _is_record(one) and ((one == other) is True or isinstance(one, int | float | str)):
            return bool(one == other)
        self._seen.add((id(one), id(other)))
        return self._same_object(one, other)

    def _all(self, pairs: Iterable[tuple[Any, Any]]) -> bool:
        return all(self.same(*pair) for pair in pairs)

    def _same_tensor(self, one: Tensor, other: Tensor) -> bool:
        kinds = [(t.shape, t.dtype, t.requires_grad) for t in (one, other)]
        if not self.deep or isinstance(one, nn.Parameter) or one.is_meta:
            return kinds[0] == kinds[1]
        return kinds[0] == kinds[1] and torch.equal(one, other)

    def _same_object(self, one: Any, other: Any) -> bool:
        if isinstance(one, nn.Module):
            records = [r and (r.args, r.kwargs) for r in (record_of(one), record_of(other))]
            states = [_state(module) for module in (one, other)]
            return self.same(*records) and self.same(*states)
        if _is_record(one):
            names = [f.name for f in fields(one) if f.name not in ("order", "owner", "scope")]
            return self._all((getattr(one, name), getattr(other, name)) for name in names)
        if isinstance(one, partial):
            return self.same(*((p.func, p.args, p.keywords) for p in (one, other)))
        if isinstance(one, FunctionType):
            inside = [(f.__defaults__, f.__kwdefaults__, _closure(f)) for f in (one, other)]
            return one.__code__ is other.__code__ and self.same(*inside)
        if isinstance(one, MethodType):
            return self.same(*((m.__func__, m.__self__) for m in (one, other)))
        own = getattr(one, "__dict__", None)
        return own is not None and self.same(own, vars(other))


def _is_record(thing: object) -> bool:
    """Returns whether a value is an instance of a dataclass: one that may hold expressions, which
    its `==` would not compare."""
    return is_dataclass(thing) and not isinstance(thing, type)


def _tree(path: str, module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yields (path, module) of a module and all below it, but not inside leaves."""
    yield path, module
    for name, child in () if is_leaf(type(module)) else module.named_children():
        yield from _tree(f"{path}.{name}" if path else name, child)


def _state(module: nn.Module) -> dict[str, Any]:
    """Returns the state of a module, without empty dicts (most are for hooks)."""
    state = vars(module).items()
    return {k: v for k, v in state if k != KEY and (type(v) not in EMPTY or v)}


def _attributes(module: nn.Module) -> dict[str, Any]:
    """Returns the plain attributes of a module; its tensors are compared by their origins."""
    return {name: value for name, value in vars(module).items() if name not in TREE}


def _unknown_shapes(module: nn.Module) -> list[tuple[int, ...]]:
    """Returns the shapes of tensors that no recorded call makes, such as constants in source."""
    record = record_of(module)
    if record is None or is_leaf(type(module)):
        return []
    own = [getattr(module, name) for name, made in record.origins.items() if made is None]
    filled = [getattr(f.owner, f.name) for f in record.fills if not f.repeatable]
    return [tuple(tensor.shape) for tensor in (*own, *filled)]


def _closure(function: FunctionType) -> list[Any]:
    return [cell.cell_contents for cell in function.__closure__ or ()]
