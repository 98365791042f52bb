"""Memoization of calls on meta tensors: results, aliases and in-place writes, by shapes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor, nn

from runner import nested
from runner.nn.recording.tensor_history import tensors_in

META = torch.device("meta")
OUTCOMES = 20_000  # maximum in a memo
MODULES = 2_000  # maximum in a memo


@final
@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a call. In copies, result tensors never alias arguments."""

    result: Any
    shares: tuple[int, ...] = ()  # per tensor of the result: the argument it is a view of, or -1
    changed: tuple[int, ...] = ()  # the tensor arguments that were written in place

    def copy(self) -> "Outcome":
        """Returns the same outcome with new meta tensors. Raises NotStrided."""
        return Outcome(with_tensors(self.result, empty_copy), self.shares, self.changed)


class NotStrided(Exception):
    """Raised for a tensor that shape, strides and dtype do not describe."""


def with_tensors(thing: Any, change: Callable[[Tensor], Any]) -> Any:
    """Returns the same nested containers with each tensor changed."""
    return nested.rebuild(
        thing, lambda leaf: change(leaf) if isinstance(leaf, Tensor) else leaf, subclasses=True
    )


def empty_copy(tensor: Tensor) -> Tensor:
    """Returns a meta tensor of the same shape, strides and dtype. Raises NotStrided."""
    if not _is_strided(tensor):
        raise NotStrided(f"A tensor has the layout {tensor.layout}.")
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=META)


def _is_strided(tensor: Tensor) -> bool:
    return tensor.layout is torch.strided and not tensor.is_quantized and not tensor.is_nested


def observed(call: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Outcome:
    """Makes a call; returns its outcome with the uncopied result.

    Aliases are found by comparing storages, writes by comparing versions.
    """
    given = tensors_in((tuple(args), dict(kwargs)))
    before = [(_storage(tensor), tensor._version) for tensor in given]
    result = call(*args, **kwargs)
    places = {storage: place for place, (storage, _) in reversed([*enumerate(before)])}
    shares = [places.get(_storage(tensor), -1) for tensor in tensors_in(result)]
    versions = zip(given, before, strict=True)
    changed = [place for place, (t, (_, old)) in enumerate(versions) if t._version != old]
    return Outcome(result, tuple(shares), tuple(changed))


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata if tensor.layout is torch.strided else id(tensor)


@final
@dataclass(frozen=True, slots=True)
class _StridedSpec:
    """A strided tensor in a memo. Under a torch function mode, such as `with torch.device(...)`,
    its attributes are much faster to read than those of a tensor."""

    shape: torch.Size
    stride: tuple[int, ...]
    dtype: torch.dtype

    @classmethod
    def of(cls, tensor: Tensor) -> "_StridedSpec":
        return cls(tensor.shape, tensor.stride(), tensor.dtype)


def _restored(known: Outcome) -> Outcome:
    """Returns an outcome of a memo with tensors in place of specs."""
    if type(known.result) is _StridedSpec:
        return Outcome(_tensor(known.result), known.shares, known.changed)
    result = nested.rebuild(known.result, _tensor, subclasses=True)
    return Outcome(result, known.shares, known.changed)


def _tensor(leaf: Any) -> Any:
    if type(leaf) is not _StridedSpec:
        return leaf
    return torch.empty_strided(leaf.shape, leaf.stride, dtype=leaf.dtype, device=META)


@final
class MetaMemo:
    """A cache of modules on meta, and of outcomes of stateless calls by their arguments.

    A batch norm on the meta device takes a millisecond, a look-up microseconds. A graph shares its
    memo with all its copies (`Graph.shared`). Each table is cleared when it is full.
    """

    def __init__(self) -> None:
        self._modules: dict[Any, nn.Module] = {}
        self._outcomes: dict[Any, Outcome] = {}

    def outcome(
        self, name: Any, call: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Outcome:
        """Returns the outcome of `call`, which is made unless `name` with such arguments is cached.

        Raises any error of the call, and NotStrided.
        """
        key, known = self._known(name, args, kwargs)
        return _restored(known) if known else self._called(key, call, args, kwargs).copy()

    def result(
        self, name: Any, call: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        """Returns the result of `call` alone, which may be of any class; see `outcome`."""
        key, known = self._known(name, args, kwargs)
        if key is None:
            return call(*args, **kwargs)
        return _restored(known).result if known else self._called(key, call, args, kwargs).result

    def module(self, key: Any, make: Callable[[], nn.Module]) -> nn.Module:
        """Returns the module of a key, built by `make` on a cache miss. Its calls are memoized."""
        if key not in self._modules:
            if len(self._modules) >= MODULES:
                self._modules.clear()
            module = self._modules[key] = make()
            # The hook of torch.compile also intercepts calls from user code.
            module._compiled_call_impl = RememberedCall(self, key, module)
        return self._modules[key]

    def _known(
        self, name: Any, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> tuple[Any, Outcome | None]:
        try:
            key = (name, _key(tuple(args)), _key(dict(kwargs)) if kwargs else None)
            return key, self._outcomes.get(key)
        except (_NoKey, TypeError):  # a name may hold something unhashable
            return None, None

    def _called(
        self, key: Any, call: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Outcome:
        with META:  # of tensors that the function itself creates
            outcome = observed(call, args, kwargs)
        if key is not None and _is_kept(outcome.result):
            if len(self._outcomes) >= OUTCOMES:
                self._outcomes.clear()
            described = with_tensors(outcome.result, _StridedSpec.of)
            self._outcomes[key] = Outcome(described, outcome.shares, outcome.changed)
        return outcome


@final
class RememberedCall:
    """The memoized call of a module of a memo."""

    def __init__(self, memo: MetaMemo, key: Any, module: nn.Module) -> None:
        self._memo = memo
        self._key = key
        self._module = module

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._memo.result(self._key, self._module._call_impl, args, kwargs)

    def outcome(self, method: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Outcome:
        """Returns the outcome of calling `forward` or another method of the module."""
        if method == "forward":
            return self._memo.outcome(self._key, self._module._call_impl, args, kwargs)
        call = getattr(self._module, method)
        return self._memo.outcome((self._key, method), call, args, kwargs)


def module_outcome(
    module: nn.Module, method: str, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Outcome:
    """Returns the outcome of a module's method on meta tensors, memoized for a module of a memo."""
    call = module._compiled_call_impl
    if isinstance(call, RememberedCall):
        return call.outcome(method, args, kwargs)
    with META:
        call = module if method == "forward" else getattr(module, method)
        return observed(call, args, kwargs).copy()


class _NoKey(Exception):
    """Raised for an argument whose effect on a call no hashable key describes."""


_PLAIN = frozenset([type(None), bool, int, float, str, type(...), torch.dtype, torch.device,
                    torch.layout, torch.memory_format])  # fmt: skip


def _key(thing: Any) -> Any:
    """Returns a hashable key, equal for arguments that a call on meta treats alike."""
    kind = type(thing)
    if kind is Tensor or kind is nn.Parameter:
        if not thing.is_meta or thing.layout is not torch.strided:
            raise _NoKey
        return thing.shape, thing.stride(), thing.dtype
    if kind in _PLAIN:
        return kind, thing
    if kind is tuple or kind is list or kind is torch.Size:
        return (kind, *map(_key, thing))
    if kind is dict:
        return (kind, *((name, _key(item)) for name, item in thing.items()))
    if kind is slice:
        return kind, _key(thing.start), _key(thing.stop), _key(thing.step)
    raise _NoKey


def _is_kept(result: Any) -> bool:
    """Returns whether a result may be cached: strided meta tensors and constants in containers."""
    is_struct = type(result).__module__ == "torch.return_types"
    found = nested.leaves(result, subclasses=is_struct)
    tensors = [leaf for leaf in found if isinstance(leaf, Tensor)]
    return (
        bool(tensors)
        and all(leaf.is_meta and _is_strided(leaf) for leaf in tensors)
        and all(isinstance(leaf, Tensor) or type(leaf) in _PLAIN for leaf in found)
    )
