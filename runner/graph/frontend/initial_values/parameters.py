"""Parameters and buffers of units: shapes, initial values, and ties."""

from collections.abc import Iterator
from dataclasses import replace
from typing import final

from torch import Tensor, nn

from runner.graph.frontend.initial_values.initial_values import (
    InitialValue,
    InitialValues,
    place_of,
)
from runner.graph.frontend.initial_values.recorded_calls import UnitPlaces
from runner.graph.frontend.literals.literal import SMALL, Literals, filled
from runner.graph.frontend.live_modules.notes import ConversionNotes
from runner.graph.frontend.reading.opaque import is_opaque
from runner.graph.ir.node import Argument
from runner.graph.ir.unit import SET, Start, Stored, Unit, Weight, joined
from runner.nn.recording.attribution import own_tensors
from runner.operators import overwrites


@final
class Weights:
    """The weights of a model, and the calls that fill them."""

    def __init__(
        self,
        model: nn.Module,
        tensors: dict[str, Tensor],
        literals: Literals,
        notes: ConversionNotes,
    ) -> None:
        self.model = model
        self.tensors = tensors
        self.literals = literals
        self.notes = notes
        self.first = InitialValues(model, literals, self._constant, notes.say)

    def describe(self, module: nn.Module, unit: Unit) -> None:
        """Adds the parameters and buffers of a module to its unit."""
        unit.parameters = {n: self._weight(module, n, p) for n, p in module._parameters.items()}
        unit.buffers = {n: self._weight(module, n, b) for n, b in module._buffers.items()}
        away = module._non_persistent_buffers_set
        unit.unsaved = frozenset(n for n, b in module._buffers.items() if b is None and n in away)
        for name, buffer in module._buffers.items():
            if buffer is not None and unit.grade != "basic":
                self.first.lost(module, name, buffer)

    def find_starts(self, places: UnitPlaces) -> None:
        """Determines how each weight is filled; `places` are the units of modules."""
        self.first.find_starts(places)
        missing = [*self._missing(places)]
        filled = {
            (start.unit, start.name)
            for module in (self.model.modules() if missing else ())
            for start in self.starts(module)
            if not start.part and (start.target == SET or overwrites(start.target))
        }
        for module, unit, name, tensor in missing:
            if (unit, name) not in filled:
                self._keep(module, unit, name, tensor)

    def _missing(self, places: UnitPlaces) -> Iterator[tuple[nn.Module, Unit, str, Tensor]]:
        """Yields parameters and buffers without an initial value of their own."""
        tied = {path for path, _ in self.ties()}
        for module in self.model.modules():
            unit, _ = places.get(id(module), (None, ""))
            if unit is None or unit.grade == "basic" or is_opaque(module):
                continue
            path = self.notes.paths[id(module)]
            weights = {**unit.parameters, **unit.buffers}
            for name, tensor in own_tensors(module):
                weight = weights.get(name)
                here = joined(path, name)
                if weight and weight.start is None and here not in tied and not tensor.is_meta:
                    yield module, unit, name, tensor

    def _keep(self, module: nn.Module, unit: Unit, name: str, tensor: Tensor) -> None:
        """Writes the current value of a tensor that nothing fills."""
        weights = unit.parameters if name in unit.parameters else unit.buffers
        weight = weights[name]
        if weight is not None:
            weights[name] = replace(weight, start=self._constant(module, name, tensor), place=None)
            self.first.fix(module, name, tensor)
            self.notes.say(
                module,
                f"The initial value of {name!r} cannot be written as source: in generated source, "
                "it starts from its current value for every seed. Fill it only with functions of "
                "torch and torch.nn.init, or keep the class as a whole with @basic_unit.",
            )

    def starts(self, module: nn.Module) -> list[Start]:
        """Returns the calls that fill weights once a module is built."""
        return [*self.first.starts(module)]

    def _weight(self, module: nn.Module, name: str, tensor: Tensor | None) -> Weight | None:
        if tensor is None:
            return None
        first = InitialValue()
        if not is_opaque(module):
            is_parameter = name in module._parameters
            describe = self.first.parameter if is_parameter else self.first.buffer
            first = describe(module, name, tensor)
        persistent = name not in module._non_persistent_buffers_set
        dtype = str(tensor.dtype).removeprefix("torch.")
        kind = tuple(tensor.shape), dtype, tensor.requires_grad, persistent
        return Weight(*kind, first.value, _place(module, first))

    def _constant(self, module: nn.Module, name: str, tensor: Tensor) -> Argument:
        """Returns the current value of a tensor as a constant."""
        if (call := filled(tensor)) is not None:
            return call
        if tensor.numel() <= SMALL:
            return self.literals.of(tensor.detach())
        path = self.notes.paths[id(module)]
        key = joined(path, name)
        self.tensors[key] = tensor.detach().clone()
        return Stored(key)

    def ties(self) -> Iterator[tuple[str, str]]:
        """Yields parameters that are one tensor in several modules, with the first of their
        paths."""
        first: dict[int, str] = {}
        for path, module in self.model.named_modules():
            for name, weight in module._parameters.items():
                if weight is not None:
                    here = joined(path, name)
                    if first.setdefault(id(weight), here) != here:
                        yield here, first[id(weight)]


def _place(module: nn.Module, first: InitialValue) -> tuple[int, int] | None:
    """Returns when a weight that draws random numbers is made; None for other weights."""
    return None if first.order is None else place_of(module, first.order)
