"""Weights that the code of a model loaded, as initial values in its graph."""

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from runner.graph.ir.argument import Argument, Call, Stored
from runner.graph.ir.graph import Graph
from runner.graph.ir.unit import Start, Unit, Weight
from runner.graph.ir.unused import drop_unused_tensors

COPIES = (".copy_", ".data")  # calls that copy the values of another tensor


def loaded_bytes(graph: Graph) -> int:
    """Returns the size in bytes of the weights that would have to be stored beside the source of a
    graph."""
    names: set[str] = set()
    for _, unit in graph.units():
        names |= {start.args[0].name for start in unit.starts if _stored(start) is not None}
        names |= {weight.start.name for _, weight in _held(unit)}
    return sum(graph.tensors[name].nbytes for name in names)


def forget_loaded(graph: Graph) -> None:
    """Drops all values that are copied into tensors, since they are inherited otherwise. Tensors
    that no constructor initializes get random values of the same mean and standard deviation."""
    for _, unit in graph.units():
        for name, weight in _held(unit):
            drawn = _drawn(graph.tensors[weight.start.name], weight.shape)
            unit.parameters[name] = replace(weight, start=drawn)
        kept = []
        for start in unit.starts:
            stored = _stored(start)
            if start.unit.grade != "basic" and stored is not None:
                drawn = _drawn(graph.tensors[stored.name], graph.tensors[stored.name].shape)
                kept.append(replace(start, args=(drawn,)))
            elif start.unit.grade != "basic" or start.target not in COPIES or start.part:
                kept.append(start)
        unit.starts = kept
    drop_unused_tensors(graph)


def _held(unit: Unit) -> list[tuple[str, Weight]]:
    """Returns the parameters of a unit with stored initial values."""
    return [
        (name, weight)
        for name, weight in unit.parameters.items()
        if weight is not None and isinstance(weight.start, Stored)
    ]


def _stored(start: Start) -> Stored | None:
    """Returns the stored tensor that a start copies; None if it does something else."""
    if start.target not in COPIES or start.part or len(start.args) != 1:
        return None
    return start.args[0] if isinstance(start.args[0], Stored) else None


def _drawn(value: Tensor, shape: Sequence[int]) -> Argument:
    """Returns an expression for random values distributed like those of a tensor."""
    numbers = value.detach().double()
    mean, spread = (float(f"{number:.3g}") for number in (numbers.mean(), numbers.std()))
    return Call("torch:normal", (mean, spread, tuple(shape)))
