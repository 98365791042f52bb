"""What calls give on tensors that have nothing but a shape: what shares storage with what, too."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

MANY = 20_000  # outcomes that are remembered
META = torch.device("meta")


class Unknown(Exception):
    """Something that cannot be told by its shape."""


@final
@dataclass(frozen=True, slots=True)
class Outcome:
    """What a call gave: tensors on the meta device, of which none is one of those it was given."""

    result: Any
    shares: tuple[int, ...] = ()  # for each tensor of it: the one given whose storage it has, or -1
    changed: tuple[int, ...] = ()  # which of the tensors given were changed in place

    def again(self) -> "Outcome":
        """The same with tensors of its own."""
        return Outcome(with_tensors(self.result, twin), self.shares, self.changed)


def tensors_in(thing: Any) -> Iterator[Tensor]:
    """All tensors in a thing, in order, as often as they stand there."""
    if isinstance(thing, Tensor):
        yield thing
    elif isinstance(thing, tuple | list):
        for item in thing:
            yield from tensors_in(item)
    elif isinstance(thing, dict):
        for item in thing.values():
            yield from tensors_in(item)
    elif type(thing) is slice:
        yield from tensors_in((thing.start, thing.stop, thing.step))


def with_tensors(thing: Any, change: Callable[[Tensor], Any]) -> Any:
    """The same with its tensors changed."""
    if isinstance(thing, Tensor):
        return change(thing)
    if isinstance(thing, tuple | list):
        items = [with_tensors(item, change) for item in thing]
        return type(thing)(*items) if hasattr(thing, "_fields") else type(thing)(items)
    if isinstance(thing, dict):
        return {name: with_tensors(item, change) for name, item in thing.items()}
    if type(thing) is slice:
        parts = (thing.start, thing.stop, thing.step)
        return slice(*(with_tensors(part, change) for part in parts))
    return thing


def observed(call: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Outcome:
    """Call it, and look at the storages and versions of what it was given."""
    given = [*tensors_in((tuple(args), dict(kwargs)))]
    before = [(tensor.untyped_storage()._cdata, tensor._version) for tensor in given]
    result = call(*args, **kwargs)
    places = {storage: place for place, (storage, _) in reversed([*enumerate(before)])}
    shares = [places.get(t.untyped_storage()._cdata, -1) for t in tensors_in(result)]
    versions = zip(given, before, strict=True)
    changed = [place for place, (t, (_, old)) in enumerate(versions) if t._version != old]
    return Outcome(with_tensors(result, twin), tuple(shares), tuple(changed))


def twin(tensor: Tensor) -> Tensor:
    """Another tensor of this shape, without data. Raises Unknown for one that has no strides."""
    if tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_nested:
        raise Unknown(f"A tensor has the layout {tensor.layout}.")
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=META)


@final
class Calls:
    """Remembers what calls without state gave, by the shapes they were given. Forgets all when
    full: on the meta device a batch norm costs a millisecond, looking it up some microseconds."""

    def __init__(self) -> None:
        self._known: dict[Any, Outcome | None] = {}

    def of(
        self,
        name: Any,
        call: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
    ) -> Outcome:
        """What `call`, which `name` stands for, gives; called only where that is not known."""
        try:
            key = (name, _key(tuple(args)), _key(kwargs) if kwargs else None)
            known = self._known.get(key)
        except (Unknown, TypeError):  # a name may hold what has no hash
            return self._called(call, args, kwargs)
        if known is not None:
            return known.again()
        outcome = self._called(call, args, kwargs)
        if next(tensors_in(outcome.result), None) is not None:
            if len(self._known) >= MANY:
                self._known.clear()
            self._known[key] = outcome
            return outcome.again()
        return outcome

    @staticmethod
    def _called(
        call: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Outcome:
        with META:  # where a function or a module makes tensors by itself
            return observed(call, args, kwargs)


_PLAIN = frozenset([type(None), bool, int, float, str, type(...), torch.dtype, torch.device,
                    torch.layout, torch.memory_format])  # fmt: skip


def _key(thing: Any) -> Any:
    """Equal only for things that a call takes alike."""
    kind = type(thing)
    if kind is Tensor:
        return thing.shape, thing.stride(), thing.dtype
    if kind in _PLAIN:
        return kind, thing
    if kind is tuple or kind is list or kind is torch.Size:
        return (kind, *map(_key, thing))
    if kind is dict:
        return (kind, *((name, _key(item)) for name, item in thing.items()))
    if kind is slice:
        return kind, _key(thing.start), _key(thing.stop), _key(thing.step)
    raise Unknown(f"{kind.__name__} has no key.")
