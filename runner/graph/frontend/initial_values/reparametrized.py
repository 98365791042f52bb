"""Orders initial values and re-parametrizations of weights.

Re-parametrizations are part of the expression that builds a layer, so every fill comes after them.
"""

from collections.abc import Mapping
from typing import Any

from torch import nn
from torch.nn.utils import parametrizations as known
from torch.nn.utils.parametrize import ParametrizationList
from torch.nn.utils.spectral_norm import SpectralNorm

from runner.graph.frontend.live_modules.notes import ConversionNotes
from runner.graph.ir.unit import SET, Call, Start, Unit, held
from runner.nn.recording.construction_record import record_of
from runner.nn.recording.initial_values import RecordedCall


def order_reparametrizations(units: Mapping[Unit, nn.Module], notes: ConversionNotes) -> None:
    """Adapts starts of re-parametrized weights that were filled before, or notes that they
    differ."""
    for above, module in units.items():
        record = record_of(module)
        began = 0 if record is None else record.order
        starts: list[Start] = []
        for start in above.starts:
            layer = units.get(start.unit)
            if layer is None or start.unit.grade != "basic":
                starts.append(start)
                continue
            order = None if start.place is None else start.place[1] + began
            starts += _ordered(start, layer, order, notes)
        above.starts = starts


def _ordered(
    start: Start, layer: nn.Module, order: int | None, notes: ConversionNotes
) -> list[Start]:
    """Returns the replacement of a start that fills a tensor of a layer at a time."""
    inside, _, name = start.name.rpartition(".")
    owner: Any = layer.get_submodule(inside)
    if isinstance(owner, ParametrizationList):
        made = record_of(owner)
        if made is None or order is None or order > made.order or not name.startswith("original"):
            return [start]
        if len(owner) == 1 and type(owner[0]) is known._WeightNorm and name == "original1":
            return [start, _magnitude(start, inside, owner[0].dim)]
        _say_late(owner, layer, inside.rpartition(".")[2], notes)
    for hook in owner._forward_pre_hooks.values():
        if isinstance(hook, SpectralNorm):
            if start.target == SET and name in (f"{hook.name}_u", f"{hook.name}_v"):
                return []  # the call of spectral_norm draws it
            if name == f"{hook.name}_orig" and _is_before(order, owner, f"{hook.name}_u"):
                _say_late(hook, layer, hook.name, notes)
    return [start]


def _magnitude(start: Start, inside: str, dim: int) -> Start:
    """Returns the start for the magnitude of a weight that was filled before it was normalized."""
    direction = held(start.unit, f"{inside}.original1")
    norm = Call("torch:norm_except_dim", (direction, 2, dim))
    return Start(start.unit, f"{inside}.original0", ".copy_", (norm,), place=start.place)


def _is_before(order: int | None, owner: nn.Module, name: str) -> bool:
    record = record_of(owner)
    made = None if record is None else record.origins.get(name)
    return order is not None and isinstance(made, RecordedCall) and order < made.order


def _say_late(what: Any, layer: nn.Module, name: str, notes: ConversionNotes) -> None:
    cls = type(what[0] if isinstance(what, ParametrizationList) else what).__name__.strip("_")
    notes.say(
        layer,
        f"Its {name!r} was filled before {cls} was applied, but generated source fills it after "
        "that: with the same seed, it starts from other numbers. Fill it after applying the "
        "wrapper.",
    )
