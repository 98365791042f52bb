"""Parameters and buffers that were added to a layer, or removed from it, after construction."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import final

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from runner.graph.frontend.literals.literal import Literals, filled
from runner.graph.frontend.live_modules.notes import ConversionNotes
from runner.graph.frontend.live_modules.parametrizations import made_by_hooks
from runner.graph.ir.node import Argument
from runner.graph.ir.unit import SET, Call, Edit, Ref, Start, Unit, joined
from runner.nn.recording.construction_record import record_of
from runner.nn.values.build import is_scripted

TensorPath = tuple[str, str]  # the path of a module inside a layer, and the name of a tensor of it


def added(layer: nn.Module, rebuilt: nn.Module) -> list[TensorPath]:
    """Returns the tensors of a layer that the `rebuilt` one, made by the constructor alone,
    lacks."""
    return [
        (path, name)
        for path, module, other in _pairs(layer, rebuilt)
        for name in (*module._parameters, *module._buffers)
        if _is_added(module, other, name)
    ]


def unwritable(layer: nn.Module, rebuilt: nn.Module) -> Iterator[TensorPath]:
    """Yields (path inside, description) of changes of a layer after construction that cannot be
    repeated by setting attributes."""
    for path, module, other in _pairs(layer, rebuilt):
        made, gone = made_by_hooks(module)
        for kind, own, theirs in (
            ("parameter", module._parameters, other._parameters),
            ("buffer", module._buffers, other._buffers),
        ):
            for name, tensor in theirs.items():
                if tensor is not None and name not in own and name not in gone:
                    yield path, f"no {kind} {name!r}"
            for name, tensor in own.items():
                if tensor is None or name in theirs or name in made:
                    continue
                if hasattr(other, name):
                    yield path, f"the {kind} {name!r}"
        for name, child in module._modules.items():
            if child is not None and name not in other._modules and name not in made:
                yield path, f"the child {name!r}"


def _pairs(
    layer: nn.Module, rebuilt: nn.Module, path: str = ""
) -> Iterator[tuple[str, nn.Module, nn.Module]]:
    """Yields (path, module, twin) of all modules in both, except for those inside modules that
    TorchScript compiled."""
    if is_scripted(type(layer)):
        return
    yield path, layer, rebuilt
    for name, child in layer._modules.items():
        other = rebuilt._modules.get(name)
        if child is not None and other is not None:
            yield from _pairs(child, other, joined(path, name))


def _is_added(module: nn.Module, other: nn.Module, name: str) -> bool:
    """Returns whether setting an attribute registers an added tensor as in the module."""
    if name in made_by_hooks(module)[0]:
        return False
    for own, theirs in (
        (module._parameters, other._parameters), (module._buffers, other._buffers),
    ):  # fmt: skip
        if own.get(name) is not None:
            if theirs.get(name) is None:
                return name in theirs or not hasattr(other, name)
            away, before = (name in m._non_persistent_buffers_set for m in (module, other))
            return away != before
    return False


@final
class AddedTensors:
    """Tensors added to layers after construction, and the calls that fill them."""

    def __init__(self, literals: Literals, notes: ConversionNotes) -> None:
        self._literals = literals
        self._notes = notes

    def add_all(
        self,
        units: Mapping[Unit, nn.Module],
        rebuilt_layers: Mapping[Unit, nn.Module],
        ties: Sequence[tuple[str, str]],
    ) -> list[tuple[str, str]]:
        """Sets added tensors; the units have their starts. `rebuilt_layers` are the layers as their
        constructors make them. Returns the ties, in which added tensors follow constructed ones."""
        spots = [
            (unit, *spot)
            for unit, rebuilt in rebuilt_layers.items()
            for spot in added(units[unit], rebuilt)
        ]
        ties = _from_made(ties, {self._path(units[u], path, name) for u, path, name in spots})
        for unit, path, name in spots:
            self._set(unit, units, path, name, {tied for tied, _ in ties})
        return [*ties]

    def _path(self, layer: nn.Module, path: str, name: str) -> str:
        above = self._notes.paths[id(layer.get_submodule(path))]
        return joined(above, name)

    def _set(
        self, unit: Unit, units: Mapping[Unit, nn.Module], path: str, name: str, tied: set[str]
    ) -> None:
        module = units[unit].get_submodule(path)
        tensor: Tensor = getattr(module, name)
        inside = joined(path, name)
        own = [(above, s) for above in units for s in above.starts if s.unit is unit]
        own = [(above, start) for above, start in own if start.name == inside]
        record = record_of(module)
        is_tied = self._path(units[unit], path, name) in tied
        drawn = record is not None and name in record.random and bool(own)
        shared = any(_is_shared(start) for _, start in own)
        if is_lazy(tensor) or tensor.is_meta or is_tied or shared or drawn:
            value: Argument = _empty(tensor)
        else:
            value = _full(tensor) or self._literals.of(tensor.detach())
        for above, start in own:
            at = above.starts.index(start)
            del above.starts[at]
            if _is_shared(start):
                above.starts.insert(at, start)
            elif drawn:
                late = _is_followed(start, above, units)
                if late:
                    self._notes.say(module, _LATE.format(name))
                    at = len(above.starts)
                above.starts.insert(at, replace(start, place=None))
        unit.edits.append(Edit(unit, path, name, _written(module, name, tensor, value)))


def _from_made(ties: Sequence[tuple[str, str]], added_paths: set[str]) -> Sequence[tuple[str, str]]:
    """Returns ties in which an added tensor becomes that of another module, not vice versa."""
    owners = {owner: path for path, owner in reversed(ties) if path not in added_paths}
    turned = {owner: path for owner, path in owners.items() if owner in added_paths}
    found = [(path, turned.get(owner, owner)) for path, owner in ties]
    return [*((owner, path) for owner, path in turned.items()), *(t for t in found if t[0] != t[1])]


_LATE = (
    "{!r}, which was added to it after construction, is drawn after all layers in generated "
    "source: with the same seed, it and all later random values start from other numbers. Add "
    "it after all layers are constructed."
)


def _is_followed(start: Start, above: Unit, units: Mapping[Unit, nn.Module]) -> bool:
    """Returns whether something that may draw random numbers is made after a start that has to wait
    for the end of its constructor: tensors are added to a layer after all layers are made."""
    record = record_of(units[above])
    if start.place is None or record is None:
        return False
    time = start.place[1] + record.order
    weights = [*above.parameters.values(), *above.buffers.values()]
    if any(w is not None and w.place is not None and w.place > start.place for w in weights):
        return True
    later = (record_of(module) for module in units.values() if [*module.parameters()])
    return any(other is not None and other.order > time for other in later)


def _is_shared(start: Start) -> bool:
    """Returns whether a start gives a tensor the storage of another one."""
    value = start.args[0] if start.target == SET else None
    return isinstance(value, Call) and value.target == "builtins:getattr" and bool(start.reads)


def _empty(tensor: Tensor) -> Call:
    kwargs = {} if tensor.dtype == torch.float32 else {"dtype": Ref.of_torch(tensor.dtype)}
    return Call("torch:empty", tuple(tensor.shape) or ((),), kwargs)


def _full(tensor: Tensor) -> Call | None:
    """Returns a call that makes a tensor of one number; None if its elements differ."""
    call = filled(tensor)
    if call is None or len(call.args) != 1 or not isinstance(call.args[0], tuple):
        return call
    return Call(call.target, call.args[0] or call.args, call.kwargs)


def _written(module: nn.Module, name: str, tensor: Tensor, value: Argument) -> Call:
    """Returns the expression of a parameter or buffer with a value."""
    if name in module._parameters:
        options = {} if tensor.requires_grad else {"requires_grad": False}
        return Call("torch.nn:Parameter", (value,), options)
    options = {"persistent": False} if name in module._non_persistent_buffers_set else {}
    return Call("torch.nn:Buffer", (value,), options)
