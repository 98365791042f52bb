"""Checks whether a constructor call reproduces a module, and finds the changes made after it.

Objects are edited after construction (`pool.ceil_mode = True`), so a recorded call only tells how a
module started. Each distinct call is repeated on the meta device, where it needs no memory and
hardly any time, and the result is compared with the module.
"""

import copy
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from runner.graph.frontend.literals.object_state import same_when_rebuilt
from runner.graph.frontend.live_modules.parametrizations import plain_class
from runner.graph.ir.unit import joined
from runner.nested import rebuild
from runner.nn.recording.attribution import shared_with
from runner.nn.recording.construction_record import KEY, ConstructionRecord
from runner.nn.recording.tensor_history import geometry_of
from runner.nn.values.build import is_scripted

Difference = tuple[str, str, Any]  # path, name, value in the module
_PLAIN = (int, float, complex, str, bool, type(None), torch.dtype)
OWN = frozenset(vars(nn.Module())) | {KEY}  # attributes of every module


@final
class Rebuilder:
    """A rebuilder of modules by their constructor calls; `concrete` replaces choices in arguments
    by values."""

    def __init__(self, concrete: Callable[[Any], Any]) -> None:
        self._concrete = concrete
        self._cache: dict[Any, nn.Module | None] = {}

    def edits(
        self, module: nn.Module, record: ConstructionRecord, key: Any
    ) -> list[Difference] | None:
        """Returns the changes made after construction, except for a `cast`; None if the call
        makes something else or cannot be repeated. Calls with one `key` are equal."""
        rebuilt = self.cached(module, record, key)
        if rebuilt is None:
            return None
        if (dtype := _cast(module, rebuilt)) is not None:
            rebuilt = copy.deepcopy(rebuilt).to(dtype)
        found = [*differences(module, rebuilt, self._concrete)]
        return None if None in found else [edit for edit in found if edit is not None]

    def cast(self, module: nn.Module, record: ConstructionRecord, key: Any) -> torch.dtype | None:
        """Returns the dtype that a whole module was cast to after construction, if any."""
        rebuilt = self.cached(module, record, key)
        return None if rebuilt is None else _cast(module, rebuilt)

    def others(self, module: nn.Module, record: ConstructionRecord, key: Any) -> list[Difference]:
        """Returns the parameters whose shape or dtype differs from those of the constructor, and
        other changes that can be made by setting attributes."""
        rebuilt = self.cached(module, record, key)
        theirs = {} if rebuilt is None else dict(rebuilt.named_parameters())
        plain = () if rebuilt is None else differences(module, rebuilt, self._concrete)
        return [
            (*_split(path), tensor)
            for path, tensor in module.named_parameters()
            if path in theirs and not is_lazy(theirs[path])
            if (tensor.shape, tensor.dtype) != (theirs[path].shape, theirs[path].dtype)
        ] + [edit for edit in plain if edit is not None]

    def cached(self, module: nn.Module, record: ConstructionRecord, key: Any) -> nn.Module | None:
        """Returns the module that the constructor makes on the meta device; cached by `key`."""
        if key not in self._cache:
            self._cache[key] = self.rebuilt(module, record)
        return self._cache[key]

    def rebuilt(self, module: nn.Module, record: ConstructionRecord) -> nn.Module | None:
        """Returns the module that the constructor makes on the meta device; None if it fails."""
        args, kwargs = rebuild(self._concrete((record.args, record.kwargs)), _on_meta)
        try:
            with torch.random.fork_rng(devices=[]), torch.device("meta"):
                return plain_class(module)(*args, **kwargs)
        except Exception:  # a constructor that computes with values, which meta tensors lack
            return None


def _cast(module: nn.Module, rebuilt: nn.Module) -> torch.dtype | None:
    """Returns the dtype of all tensors of a module, if they have one and the constructor makes
    another."""
    ours, theirs = ({t.dtype for t in _floating(m)} for m in (module, rebuilt))
    return next(iter(ours)) if len(ours) == 1 and theirs and ours != theirs else None


def _floating(module: nn.Module) -> Iterator[Tensor]:
    """Yields the tensors that `to(dtype)` casts."""
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.is_floating_point():
            yield tensor


def _split(path: str) -> tuple[str, str]:
    owner, _, name = path.rpartition(".")
    return owner, name


_MANGLED = re.compile(r"___torch_mangle_\d+\.|device=\w+|#.*")  # of time and device


def _on_meta(argument: Any) -> Any:
    """Returns a copy of a module on the meta device; any other argument as it is."""
    if not isinstance(argument, nn.Module):
        return argument
    module = argument
    memo: dict[int, Any] = {}
    for weight in module.parameters():
        empty = torch.empty_like(weight, device="meta")
        memo[id(weight)] = nn.Parameter(empty, requires_grad=weight.requires_grad)
    for buffer in module.buffers():
        memo[id(buffer)] = torch.empty_like(buffer, device="meta")
    return copy.deepcopy(module, memo)


def differences(
    module: nn.Module, rebuilt: nn.Module, concrete: Callable[[Any], Any], path: str = ""
) -> Iterator[Difference | None]:
    """Yields attributes that differ, and None for a difference that setting an attribute cannot
    undo."""
    if is_scripted(type(module)) and is_scripted(type(rebuilt)):
        if _scripted(module) != _scripted(rebuilt):
            yield None
        return
    if _class(module) != _class(rebuilt) or [*module._modules] != [*rebuilt._modules]:
        yield None
        return
    yield from _tensors(module._parameters, rebuilt._parameters, path)
    yield from _tensors(module._buffers, rebuilt._buffers, path)
    if module._non_persistent_buffers_set != rebuilt._non_persistent_buffers_set:
        yield None
    yield from _attributes(module, rebuilt, concrete, path)
    for name, child in module._modules.items():
        other = rebuilt._modules[name]
        if child is None or other is None:
            if child is not other:
                yield None
        else:
            yield from differences(child, other, concrete, joined(path, name))


def _scripted(module: nn.Module) -> list[Any]:
    """Returns a key of a script module and those in it, without the values of tensors."""
    found: list[Any] = [(name, t.shape, t.dtype) for name, t in module.state_dict().items()]
    for path, inner in module.named_modules():
        own: Any = inner
        values = {name: own._c.getattr(name) for name in own._concrete_type.get_attributes()}
        plain = {name: value for name, value in values.items() if _is_plain(value)}
        text = own._c.dump_to_str(True, False, False)
        code = text.partition("  methods {")[2].partition("  submodules {")[0]
        found.append((path, plain, _MANGLED.sub("", code)))
    return found


def _class(module: nn.Module) -> tuple[str, str]:
    return type(module).__module__, type(module).__qualname__


def _tensors(
    own: Mapping[str, Tensor | None], theirs: Mapping[str, Tensor | None], path: str
) -> Iterator[Difference | None]:
    if [*own] != [*theirs]:
        yield None
        return
    for name, tensor in own.items():
        rebuilt = theirs[name]
        if tensor is None or rebuilt is None:
            if tensor is not rebuilt:
                yield (path, name, None) if tensor is None else None
        elif isinstance(rebuilt, nn.UninitializedParameter | nn.UninitializedBuffer):
            continue
        elif tensor.shape != rebuilt.shape or tensor.dtype != rebuilt.dtype:
            yield None
        elif tensor.requires_grad != rebuilt.requires_grad:
            yield joined(path, name), "requires_grad", tensor.requires_grad


def _attributes(
    module: nn.Module, rebuilt: nn.Module, concrete: Callable[[Any], Any], path: str
) -> Iterator[Difference | None]:
    own, other = vars(module), vars(rebuilt)
    for name, value in own.items():
        if name in OWN:
            continue
        if shared_with(module, value) is not None:
            if not _shares_alike(module, value, rebuilt, other.get(name)):
                yield path, name, value
        elif name not in other:
            yield (path, name, value) if _is_plain(value) else None
        elif not same_when_rebuilt(concrete(value), concrete(other[name])):
            yield path, name, value
    if any(name not in own for name in other if name != KEY):
        yield None


def _shares_alike(module: nn.Module, value: Tensor, rebuilt: nn.Module, other: Any) -> bool:
    """Returns whether an attribute shares memory with the same parameter or buffer as that of the
    rebuilt module, as the same view."""
    same = shared_with(module, value) == shared_with(rebuilt, other)
    return same and geometry_of(value)[:3] == geometry_of(other)[:3]


def _is_plain(value: Any) -> bool:
    if type(value) in (tuple, list):
        return all(map(_is_plain, value))
    return isinstance(value, _PLAIN)


def bound(
    record: ConstructionRecord, parameters: Mapping[str, inspect.Parameter]
) -> ConstructionRecord | None:
    """Returns a record without arguments equal to their default: required ones by position,
    others by name after one was left out. None if the record does not fit the signature."""
    signature = inspect.Signature([*parameters.values()])
    try:
        given = signature.bind(*record.args, **record.kwargs).arguments
    except TypeError:
        return None
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    by_position = True
    rest = any(p.kind is p.VAR_POSITIONAL and given.get(p.name) for p in parameters.values())
    for number, (name, parameter) in enumerate(parameters.items()):
        if parameter.kind is parameter.VAR_POSITIONAL:
            args += given.get(name, ())
        elif parameter.kind is parameter.VAR_KEYWORD:
            kwargs |= given.get(name, {})
        elif name not in given or (not rest and is_default(given[name], parameter.default)):
            by_position = False
        elif _positional(parameter, by_position, number < len(record.args)):
            args.append(given[name])
        else:
            kwargs[name] = given[name]
            by_position = False
    return ConstructionRecord(tuple(args), kwargs)


def _positional(parameter: inspect.Parameter, so_far: bool, given_so: bool) -> bool:
    if parameter.kind is parameter.KEYWORD_ONLY or not so_far:
        return False
    return given_so or parameter.default is parameter.empty


def is_default(value: Any, default: Any) -> bool:
    """Returns whether an argument is the default, or plain and equal to it."""
    if value is default:
        return True
    return type(value) is type(default) and _is_plain(value) and bool(value == default)
