"""Initial values of weights as expressions and calls of the IR, from recorded calls.

A value whose calls cannot be repeated is written as a constant, with a note if it is random, since
it is then the same for every seed.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, final

from torch import Tensor, nn

from runner.errors import GraphError
from runner.graph.frontend.initial_values.recorded_calls import (
    UnitPlaces,
    argument_of,
    call_of,
    draws_of,
    evaluates_to,
    in_place,
)
from runner.graph.frontend.initial_values.shared_storage import SharedStorage
from runner.graph.frontend.literals.literal import Literals
from runner.graph.ir.argument import UNRECORDED
from runner.graph.ir.node import Argument
from runner.graph.ir.unit import SET, Call, Start, Unit
from runner.nn.recording.attribution import own_tensors
from runner.nn.recording.construction_record import record_of
from runner.nn.recording.initial_values import Fill, Owned, RecordedCall, calls_in, owned
from runner.nn.values.build import is_leaf

TensorKey = tuple[int, str]  # the id of a module, and the name of a tensor of it


@final
@dataclass(frozen=True)
class InitialValue:
    """The initial value of a parameter or buffer: an expression, None if a start sets it;
    `order` is when it was made, on the clock of the recording."""

    value: Argument = None
    order: int | None = None


@final
class InitialValues:
    """The initial values of all weights of a model.

    `constant` writes the current value of a tensor of a module. Weights are described while units
    are made; `places` are known once all are.
    """

    def __init__(
        self,
        model: nn.Module,
        literals: Literals,
        constant: Callable[[nn.Module, str, Tensor], Argument],
        say: Callable[[nn.Module, str], None],
    ) -> None:
        self.places: UnitPlaces = {}
        self._model = model
        self._literals = literals
        self._constant = constant
        self._say = say
        self._fills: dict[TensorKey, list[Fill]] = {}
        self._more: dict[int, list[tuple[int, Start]]] = {}  # by the module with them
        self._origins: list[tuple[nn.Module, str, RecordedCall]] = []  # to be set by starts
        self._fixed: set[TensorKey] = set()
        self._above_filled: list[tuple[nn.Module, str, Fill]] = []  # buffers that others fill
        self._shared = SharedStorage(model, say)
        self._given: dict[TensorKey, nn.Module] = {}  # modules that replace data of layers
        for module in model.modules():
            for fill in _fills_of(module):
                self._fills.setdefault((id(fill.owner), fill.name), []).append(fill)

    # Weights of units whose classes are written out

    def parameter(self, module: nn.Module, name: str, tensor: Tensor) -> InitialValue:
        """Returns the initial value of a parameter of a module."""
        made = self._origin(module, name, tensor)
        fills = self._effective(module, name)
        if isinstance(made, Owned):
            self._shared.add(module, name, tensor, made)
            return InitialValue()
        if self._all_repeat(fills):
            first = None if made is None else self._replayed(module, name, made)
            if first is None and fills and fills[0].whole:
                first = InitialValue()
            if first is not None:
                self._check_numbers(module, name, tensor, fills, made)
                return first
        return self._as_constant(module, name, tensor)

    def buffer(self, module: nn.Module, name: str, tensor: Tensor) -> InitialValue:
        """Returns the initial value of a buffer of a module: a constant, unless it is random or
        is the memory of another tensor. If a module above fills it, a start there sets it."""
        record = record_of(module)
        made = self._origin(module, name, tensor)
        if not isinstance(made, Owned) and (record is None or name not in record.random):
            self._fixed.add((id(module), name))
            above = [fill for fill in self._effective(module, name) if fill.scope is not module]
            if above and not tensor.is_meta:
                self._above_filled.append((module, name, above[-1]))
                return InitialValue()
            if isinstance(made, RecordedCall) and evaluates_to(made, tensor):
                try:
                    return InitialValue(call_of(made, self._literals))
                except GraphError:
                    pass
            return InitialValue(self._constant(module, name, tensor))
        return self.parameter(module, name, tensor)

    def _replayed(self, module: nn.Module, name: str, made: RecordedCall) -> InitialValue | None:
        if owned((made.args, made.kwargs)):
            self._origins.append((module, name, made))
            return InitialValue()
        try:
            value = call_of(made, self._literals)
        except GraphError:
            return None
        return InitialValue(value, min(draws_of(made), default=None))

    def _as_constant(self, module: nn.Module, name: str, tensor: Tensor) -> InitialValue:
        if tensor.is_meta:
            return InitialValue()
        self.fix(module, name, tensor)
        return InitialValue(self._constant(module, name, tensor))

    def lost(self, module: nn.Module, name: str, tensor: Tensor) -> None:
        """Warns if a buffer of a module whose class is written was a part of another tensor."""
        self._shared.lost(module, name, tensor)

    def fix(self, module: nn.Module, name: str, tensor: Tensor) -> None:
        """Makes a tensor start from a constant, whatever fills it."""
        self._fixed.add((id(module), name))
        self._warn(module, name, tensor)
        self._shared.lost(module, name, tensor)

    def _check_numbers(
        self,
        module: nn.Module,
        name: str,
        tensor: Tensor,
        fills: Sequence[Fill],
        made: RecordedCall | None,
    ) -> None:
        """Warns if numbers among the arguments of calls may be random."""
        whole = [fill for fill in fills if fill.whole][-1:]
        calls: list[RecordedCall | Fill] = [*whole]
        if made is not None and not calls:
            calls.append(made)
        calls += [fill for fill in fills if calls and fill.order > calls[0].order]
        record = record_of(module)
        drawn = any(call.random or owned((call.args, {**call.kwargs})) for call in calls)
        if record is not None and name in record.random and calls and not drawn:
            self._warn(module, name, tensor)

    def _warn(self, module: nn.Module, name: str, tensor: Tensor) -> None:
        """Warns if a constant replaces random numbers."""
        record = record_of(module)
        if record is None:
            if tensor.numel() > 1 and not bool((tensor == tensor.flatten()[0]).all()):
                self._say(
                    module,
                    f"The initial value of {name!r} is unknown: in generated source, {name!r} "
                    f"starts from its current value for every seed. {UNRECORDED}",
                )
        elif name in record.random:
            self._say(
                module,
                f"The initial value of {name!r} is random, and its computation cannot be "
                f"repeated: in generated source, {name!r} starts from the numbers drawn during "
                "recording, the same for every seed. Fill it only with functions of torch and "
                "torch.nn.init, whose arguments are numbers and tensors made the same way; or "
                "keep the class as a whole with @basic_unit.",
            )

    def _origin(self, module: nn.Module, name: str, tensor: Tensor) -> RecordedCall | Owned | None:
        if record_of(module) is None:
            return self._shared.first(module, name, tensor)
        return _origin(module, name)

    def _effective(self, module: nn.Module, name: str) -> list[Fill]:
        return [f for f in self._fills.get((id(module), name), ()) if not f.overwritten]

    def _all_repeat(self, fills: Sequence[Fill]) -> bool:
        return all(map(self._repeats, fills))

    def _repeats(self, fill: Fill) -> bool:
        """Returns whether a fill can be written as a start."""
        inside = {*fill.scope.modules()}
        if not fill.repeatable or any(m not in inside for m, _ in owned((fill.args, fill.kwargs))):
            return False
        if fill.target == "operator:setitem" and all(
            any(made.random for made in calls_in(arg)) for arg in fill.args
        ):
            return False  # Python evaluates the right-hand side first
        try:
            self._written(fill, {})
        except GraphError:
            return False
        return True

    # Starts

    def find_starts(self, places: UnitPlaces) -> None:
        """Decides how tensors of layers are filled; all units are made."""
        self.places = places
        for module in self._model.modules():
            unit, inside = places.get(id(module), (None, ""))
            if unit is not None and unit.grade == "basic":
                for name, tensor in own_tensors(module):
                    self._find_starts_of_layer(module, name, tensor, unit, inside)
        for module, name, made in self._origins:
            self._copy(module, module, name, made)
        for module, name, fill in self._above_filled:
            unit, inside = places[id(module)]
            value = self._constant(module, name, getattr(module, name))
            start = _given(unit, f"{inside}{name}", value, set_data=False)
            self._more.setdefault(id(fill.scope), []).append((fill.order, start))
        self._shared.find_starts(places, self._given)

    def _find_starts_of_layer(
        self, module: nn.Module, name: str, tensor: Tensor, unit: Unit, inside: str
    ) -> None:
        fills = [f for f in self._effective(module, name) if self._is_outside(f, unit)]
        record = record_of(module)
        replaced = record is not None and is_leaf(type(module)) and name in record.origins
        made = self._origin(module, name, tensor) if replaced or record is None else None
        if isinstance(made, Owned):
            self._shared.add(module, name, tensor, made)
            return
        if tensor.is_meta or not (fills or replaced):
            return
        scope = fills[-1].scope if fills else self._above(unit)
        if scope is None:
            return
        if self._all_repeat(fills):
            if (fills and fills[0].whole) or not replaced:
                self._check_numbers(module, name, tensor, fills, None)
                return
            if made is not None and self._copy(scope, module, name, made, set_data=True):
                return
        self.fix(module, name, tensor)
        if replaced:
            self._given[id(module), name] = scope
        value = self._constant(module, name, tensor)
        start = _given(unit, f"{inside}{name}", value, set_data=replaced)
        order = fills[-1].order if fills else 0
        self._more.setdefault(id(scope), []).append((order, start))

    def _copy(
        self,
        scope: nn.Module,
        module: nn.Module,
        name: str,
        made: RecordedCall,
        *,
        set_data: bool = False,
    ) -> bool:
        """Adds a start that sets a tensor to a value; returns False if it cannot be written."""
        unit, inside = self.places.get(id(module), (None, ""))
        try:
            value = call_of(made, self._literals, self.places)
        except GraphError:
            return False
        if unit is not None:
            start = _given(unit, f"{inside}{name}", value, set_data=set_data)
            self._more.setdefault(id(scope), []).append((made.order, start))
            if set_data:
                self._given[id(module), name] = scope
        return True

    def _is_outside(self, fill: Fill, unit: Unit) -> bool:
        """Returns whether a fill is not part of the constructor of a unit."""
        return self.places.get(id(fill.scope), (None, ""))[0] is not unit

    def _above(self, unit: Unit) -> nn.Module | None:
        """Returns the module that holds a unit, and whose constructor is written."""
        for module in self._model.modules():
            for child in module.children():
                if self.places.get(id(child), (None, ""))[0] is unit:
                    return module
        return None

    def starts(self, module: nn.Module) -> Iterator[Start]:
        """Yields the calls in the constructor of a module that fill weights of units."""
        found = [*self._more.get(id(module), ())]
        for fill in _fills_of(module):
            unit, inside = self.places.get(id(fill.owner), (None, ""))
            if unit is None or (id(fill.owner), fill.name) in self._fixed:
                continue
            if self._repeats(fill):
                try:
                    args, kwargs, part = self._written(fill, self.places)
                except GraphError:
                    continue
                target = in_place(fill.target)
                start = Start(unit, f"{inside}{fill.name}", target, args, kwargs, part)
                found.append((fill.order, start))
        for order, start in sorted(found, key=lambda both: both[0]):
            start.place = place_of(module, order)
            yield start
        yield from self._shared.starts(module)

    def _written(self, fill: Fill, places: UnitPlaces) -> tuple[Any, Any, Any]:
        def arguments(call: Fill | RecordedCall) -> Any:
            return argument_of((call.args, {**call.kwargs}), self._literals, places)

        args, kwargs = arguments(fill)
        targets = [step.target.replace(".__getitem__", "operator:getitem") for step in fill.part]
        part = tuple(Call(t, *arguments(step)) for t, step in zip(targets, fill.part, strict=True))
        return args, kwargs, part


def _given(unit: Unit, name: str, value: Argument, *, set_data: bool) -> Start:
    """Returns a start that sets a tensor to a value; with `set_data`, one of any shape and
    dtype."""
    if set_data:
        return Start(unit, name, SET, (value,))
    return Start(unit, name, ".copy_", (value,))


def _fills_of(module: nn.Module) -> Sequence[Fill]:
    record = record_of(module)
    return () if record is None else record.fills


def _origin(module: nn.Module, name: str) -> RecordedCall | Owned | None:
    record = record_of(module)
    return None if record is None else record.origins.get(name)


def place_of(module: nn.Module, order: int) -> tuple[int, int]:
    """Returns the place in the constructor of a module for a time on the clock of the recording."""
    record = record_of(module)
    before = sum(1 for child in module._modules.values() if _is_before(child, order))
    return before, order - (0 if record is None else record.order)


def _is_before(child: nn.Module | None, order: int) -> bool:
    record = None if child is None else record_of(child)
    return record is None or record.order < order
