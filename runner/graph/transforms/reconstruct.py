"""Makes modules by a call of their constructor, and units of a graph anew by another one."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from runner.errors import GraphError, RunnerError, one_line
from runner.graph.codegen.generate import generate
from runner.graph.codegen.load import load_source
from runner.graph.frontend.convert import convert
from runner.graph.frontend.kept_modules import Keep
from runner.graph.ir.argument import Argument, Call, Ref, Stored
from runner.graph.ir.constants import leaves
from runner.graph.ir.graph import Graph
from runner.graph.ir.signature import locate, with_argument
from runner.graph.ir.unit import Start, Unit
from runner.graph.transforms.merge_graphs import graft
from runner.nn.recording.record import recording

_KEPT = 256
_converted: dict[tuple[Any, ...], Graph] = {}  # by the source that makes it, and what is kept


def made(call: Call, graph: Graph) -> Graph:
    """The graph of the module that a constructor call makes; a layer of torch.nn is one unit, and
    of any other class the inside is there, too. It is made for `graph`: arguments may speak of its
    tensors, and classes that are kept as they are there are kept here as well.

    Raises GraphError when the constructor raises.
    """
    if call.target.startswith("torch.nn:"):
        return Graph(Unit.of(call.target, *call.args, **call.kwargs))
    alone = Graph(Unit("basic", Ref(call.target), call))
    named = [thing.name for thing in leaves(call) if type(thing) is Stored]
    alone.tensors = {name: graph.tensors[name] for name in named}
    text = generate(alone)
    names = _kept_classes(graph)
    keep = Keep.classes(names, "it is kept elsewhere in the model")
    if named:
        return convert(_built(text, alone), keep)
    key = text, locate(call.target), names
    if key not in _converted:
        if len(_converted) >= _KEPT:
            _converted.clear()
        _converted[key] = convert(_built(text, alone), keep)
    return _converted[key]


def _kept_classes(graph: Graph) -> frozenset[str]:
    """The classes of units that are not read: code of theirs would not be what it is in Python."""
    return frozenset(
        unit.cls.target
        for _, unit in graph.root.walk()
        if unit.grade in ("shell", "basic") and not unit.cls.target.startswith("torch.nn")
    )


def _built(text: str, graph: Graph) -> nn.Module:
    """The module of a source, made on the CPU; random numbers elsewhere stay as they were."""
    with torch.device("cpu"), torch.random.fork_rng(devices=[]), recording():
        try:
            module: nn.Module = load_source(text, graph.tensors).build()
        except RunnerError:
            raise
        except Exception as error:
            raise GraphError(f"{graph.root.name} cannot be built: {one_line(error)}.") from error
    return module


def remake(graph: Graph, path: str, arguments: Mapping[str, Argument]) -> None:
    """Give the constructor of a unit other arguments. A layer takes them as they are; what has its
    code in the graph is made anew, converted, and put in its place. What units above do to it, or
    to its weights, they do to the new one; it is what it was for whom it inherits from."""
    unit = graph.unit(path)
    if unit.grade == "basic":
        for name, value in arguments.items():
            unit.set_argument(name, value)
        return
    if unit.call is None:
        raise GraphError(f"{path}: how this {unit.name} was constructed is not known.")
    call = unit.call
    for name, value in arguments.items():
        call = with_argument(call, name, value)
    above = [graph.unit(".".join(path.split(".")[:i])) for i in range(path.count(".") + 1)]
    starts = [[*owner.starts] for owner in above]
    edits, ties = [[*owner.edits] for owner in above], [*graph.ties]

    def put(new: Unit) -> str:
        new.hooked, new.edits = [*unit.hooked], [*unit.edits]
        graph.replace(path, new)
        now = dict(new.walk())
        moved = {old: now[place] for place, old in unit.walk() if place in now}
        for old, twin in moved.items():
            twin.origin, twin.inserted = old.origin, old.inserted
        for owner, before, edited in zip(above, starts, edits, strict=True):
            owner.starts = [kept for start in before if (kept := _moved(start, unit, moved))]
            owner.edits = edited
        graph.ties = ties
        return path

    graft(graph, made(call, graph), put)


def _moved(start: Start, old: Unit, moved: Mapping[Unit, Unit]) -> Start | None:
    """A start that fills what a unit was replaced by; None where there is no such thing now."""
    gone = {unit for _, unit in old.walk()}
    if not start.units & gone:
        return start
    if not (start.units & gone) <= moved.keys():
        return None
    unit = moved.get(start.unit, start.unit)
    if unit.grade == "graph" and start.name not in {**unit.parameters, **unit.buffers}:
        return None
    return start.moved(lambda other: moved.get(other, other))
