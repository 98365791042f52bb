"""Layers: units built by a single constructor call, and the arguments that set their widths."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import gcd
from typing import Any, final

from torch import nn

from runner.graph.channels.operand_repair import PreviousCall, Repair, repair_call
from runner.graph.channels.recorded_run import RecordedStep
from runner.graph.ir.argument import Argument, Call, all_in
from runner.graph.ir.argument_sizes import (
    Change,
    Leaves,
    Numbers,
    Place,
    changes,
    leaves,
    put,
    shapes,
)
from runner.graph.ir.signature import bound_arguments, with_argument
from runner.graph.ir.unit import Unit

Make = Callable[[Unit, Call], nn.Module]  # builds a unit with another constructor call, on meta
GROUPS = "group"  # part of the name of an argument that is a number of channel groups


def may_be_layer(unit: Unit) -> bool:
    """Returns whether a unit may be treated as opaque and rebuilt by its constructor: it is basic,
    or has weights of its own and was not changed, nor were units below it."""
    if unit.call is None or all_in((unit.call.args, {**unit.call.kwargs}), Unit):
        return False
    if unit.grade == "basic":
        return True
    if unit.grade != "graph" or not (unit.parameters or unit.buffers):
        return False
    return not any(inner.changed for _, inner in unit.walk())


def is_leaf(module: nn.Module) -> bool:
    """Returns whether all parameters and buffers of a module are its own, not of submodules."""
    return all("." not in name for name in module.state_dict())


def numbers(call: Call) -> dict[Place, int]:
    """Returns the integers among the arguments of a constructor call, by argument name."""
    found = leaves((), bound_arguments(call))
    return {place: value for place, value in found.items() if type(value) is int}


def new_arguments(call: Call, new: Numbers) -> dict[str, Argument]:
    """Returns the arguments, by name, that change when numbers at some places are replaced."""
    _, arguments = put((), bound_arguments(call), new)
    return {str(place[0]): arguments[str(place[0])] for place in new}


def called_with(call: Call, new: Numbers) -> Call:
    """Returns the call with numbers replaced at some places."""
    for name, value in new_arguments(call, new).items():
        call = with_argument(call, name, value)
    return call


@final
@dataclass(frozen=True)
class AdaptedLayer:
    """The result of a layer that accepts its input, and the constructor numbers this requires."""

    result: Any
    numbers: Numbers


def adapt_layer(
    make: Make,
    unit: Unit,
    call: Call,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    before: Leaves,
    fixed: Numbers,
) -> AdaptedLayer:
    """Runs a layer on an input whose sizes differ from those `before`, adjusting constructor
    numbers if necessary, but for `fixed` ones. Raises the layer's own error if nothing helps."""
    try:
        return AdaptedLayer(make(unit, call)(*args, **kwargs), {})
    except Exception as error:
        first = error
    changed = changes(before, shapes(leaves(args, kwargs)))
    sizes = [c for dims in changed.values() if isinstance(dims, dict) for c in dims.values()]
    free = {place: value for place, value in numbers(call).items() if place not in fixed}
    for change in dict.fromkeys(sizes):
        for new in _proposals(free, change):
            try:
                module = make(unit, called_with(call, new))
                return AdaptedLayer(module(*args, **kwargs), new)
            except Exception:
                continue
    raise first


def repair_layer(
    make: Make,
    unit: Unit,
    call: Call,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    before: PreviousCall,
    fixed: Numbers,
) -> tuple[Repair, Numbers]:
    """Runs a layer on other arguments, which are repaired as in `repair_call` if adjusting
    constructor numbers is not enough; also returns these numbers. Raises as `adapt_layer` does."""
    found: list[Numbers] = []

    def run(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        fit = adapt_layer(make, unit, call, args, kwargs, before.leaves, fixed)
        found.append(fit.numbers)
        return fit.result

    return repair_call(run, args, kwargs, before), found[-1]


def repair_step(
    make: Make, step: RecordedStep, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[Repair, Numbers]:
    """Repeats a step with other arguments; also returns the constructor numbers that a layer needs
    for them. Raises the step's own error if nothing helps."""
    if step.unit is None or step.call is None:
        return repair_call(step.run, args, kwargs, step.before), {}
    return repair_layer(make, step.unit, step.call, args, kwargs, step.before, {})


def _proposals(free: Numbers, change: Change) -> Iterator[Numbers]:
    """Yields numbers that may follow a size: one that was equal to it, or all that were. If the
    number of groups was equal, all come first; groups that no longer divide it are reduced."""
    equal = {place: change.new for place, value in free.items() if value == change.old}
    alone = [{place: new} for place, new in equal.items()]
    one_by_one = any(GROUPS in str(place[0]) for place in equal)
    some = [equal, *alone] if one_by_one else [*alone, equal]
    some = [new for new in some if new]
    yield from some
    fewer = {
        place: gcd(value, change.new)
        for place, value in free.items()
        if GROUPS in str(place[0]) and place not in equal and change.new % value
    }
    if fewer:
        yield from ({**new, **fewer} for new in some)


def output_numbers(
    make: Make,
    unit: Unit,
    call: Call,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    only: Place | None = None,
) -> Iterator[tuple[Place, int, Any]]:
    """Yields the constructor numbers that may set the output width of a layer, each with another
    valid value and the layer's result with it on the same input. `only` restricts the place."""
    free = numbers(call)
    parts = [value for place, value in free.items() if GROUPS in str(place[0]) and value > 1]
    for place, value in free.items():
        if value in parts or only not in (None, place):
            continue  # as many channels as groups: the input sets the width
        for number in dict.fromkeys((other(value), 2 * value)) if parts else (other(value),):
            try:
                module = make(unit, called_with(call, {place: number}))
                result = module(*args, **kwargs)
            except Exception:
                continue
            yield place, number, result
            break


def other(size: int) -> int:
    """Returns another size, to find what depends on it: 3/2 of an even size, which is no valid
    width of a layer with `size` groups, or twice an odd one."""
    return size * 3 // 2 if size % 2 == 0 else 2 * size
