"""Makes modules by a call of their constructor, and units of a graph anew by another one."""

from collections.abc import Mapping
from typing import Any, final

import torch
from torch import nn

from runner.errors import GraphError, RunnerError, one_line
from runner.graph.codegen.generate import generate
from runner.graph.codegen.load import load_source
from runner.graph.frontend.convert import convert
from runner.graph.frontend.kept_modules import Keep
from runner.graph.ir.argument import Argument, Call, Ref, Stored, leaves_and_calls
from runner.graph.ir.graph import Graph, moved_ties
from runner.graph.ir.signature import locate, with_argument
from runner.graph.ir.unit import Unit
from runner.graph.transforms.merge_graphs import graft
from runner.nn.recording.record import recording

_KEPT = 256


@final
class _Conversions:
    """The graphs of modules that were constructed for a graph or its copies, by their source."""

    def __init__(self) -> None:
        self.known: dict[Any, Graph] = {}


def made(call: Call, graph: Graph) -> Graph:
    """The graph of the module that a constructor call makes; a layer of torch.nn is one unit, and
    of any other class the inside is there, too. It is made for `graph`: arguments may speak of its
    tensors, and classes that are kept as they are there are kept here as well.

    Raises GraphError when the constructor raises.
    """
    if call.target.startswith("torch.nn:"):
        return Graph(Unit.of(call.target, *call.args, **call.kwargs))
    alone = Graph(Unit("basic", Ref(call.target), call))
    named = [thing.name for thing in leaves_and_calls(call) if type(thing) is Stored]
    alone.tensors = {name: graph.tensors[name] for name in named}
    text = generate(alone)
    names = _kept_classes(graph)
    keep = Keep.classes(names, "it is kept elsewhere in the model")
    if named:
        return convert(_built(text, alone), keep)
    key = text, locate(call.target), names
    known = graph.shared(_Conversions).known
    if key not in known:
        if len(known) >= _KEPT:
            known.clear()
        known[key] = convert(_built(text, alone), keep)
    return known[key]


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

    def put(new: Unit) -> str:
        twins = {old: twin for at, old in unit.walk() if (twin := new.find(at)) is not None}
        for old, twin in twins.items():
            twin.mark(origin=old.provenance.origin, inserted=old.provenance.inserted)
        new.hooked, new.edits = [*unit.hooked], unit.edits
        for owner in (*graph.above(path), new):
            _refer(owner, twins)
        new.forget_gone()
        graph.tied = moved_ties(graph.tied, twins)
        graph.replace(path, new)
        return path

    graft(graph, made(call, graph), put)


def _refer(owner: Unit, twins: Mapping[Unit, Unit]) -> None:
    """Have the starts and edits of a unit speak of the twins of units that are replaced, but for
    starts of tensors that these do not have."""
    owner.edits = [edit.moved(twins) for edit in owner.edits]
    starts = [start.moved(twins) for start in owner.starts]
    owner.starts = [start for start in starts if _has(start.unit, start.name)]


def _has(unit: Unit, name: str) -> bool:
    return unit.grade != "graph" or name in unit.weights
