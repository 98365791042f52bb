"""Constructs modules by calls of their constructors, and reconstructs units with other
arguments."""

from collections.abc import Mapping
from typing import Any, final

import torch
from torch import nn

from runner.errors import GraphError, RunnerError, one_line
from runner.graph.codegen.generate import generate
from runner.graph.codegen.load import load_source
from runner.graph.frontend.convert import convert
from runner.graph.frontend.frontends import before
from runner.graph.frontend.live_modules.kept_modules import Keep
from runner.graph.ir.argument import Argument, Call, Ref, Stored, leaves_and_calls
from runner.graph.ir.graph import Graph, moved_ties
from runner.graph.ir.signature import locate, with_argument
from runner.graph.ir.unit import Unit
from runner.graph.transforms.merge_graphs import merge_graph
from runner.nn.recording.construction_record import recording

_KEPT = 256


@final
class _Conversions:
    """The graphs of modules that were constructed for a graph or its copies, by their source."""

    def __init__(self) -> None:
        self.known: dict[Any, Graph] = {}


def constructed(call: Call, graph: Graph) -> Graph:
    """Returns the graph of the module that a constructor call makes: a single unit for a layer of
    torch.nn, else converted. It is meant for `graph`: arguments may refer to tensors of that graph,
    and classes that are opaque there remain opaque.

    Raises GraphError if the constructor raises.
    """
    if call.target.startswith("torch.nn:"):
        return Graph(Unit.of(call.target, *call.args, **call.kwargs))
    alone = Graph(Unit("basic", Ref(call.target), call))
    named = [thing.name for thing in leaves_and_calls(call) if type(thing) is Stored]
    alone.tensors = {name: graph.tensors[name] for name in named}
    text = generate(alone)
    known_classes = _known_classes(graph)
    keep = Keep.classes(known_classes, "it is kept, or read otherwise, elsewhere in the model")
    if named:
        return convert(_built(text, alone), keep, graph.frontend)
    key = text, locate(call.target), known_classes
    known = graph.shared(_Conversions).known
    if key not in known:
        if len(known) >= _KEPT:
            known.clear()
        known[key] = convert(_built(text, alone), keep, graph.frontend)
    return known[key]


def _known_classes(graph: Graph) -> frozenset[tuple[str, tuple[str, ...]]]:
    """Returns the classes of opaque units, and those of units that the first front end did not
    read; each with the front ends not to read it, none for an opaque one."""
    units = [unit for _, unit in graph.units() if not unit.cls.target.startswith("torch.nn")]
    opaque = ((unit.cls.target, ()) for unit in units if unit.grade in ("shell", "basic"))
    read = ((unit.cls.target, before(unit.provenance.frontend)) for unit in units)
    return frozenset([*opaque, *(found for found in read if found[1])])


def _built(text: str, graph: Graph) -> nn.Module:
    """Builds the module of a source on the CPU; the global random state is preserved."""
    with torch.device("cpu"), torch.random.fork_rng(devices=[]), recording():
        try:
            module: nn.Module = load_source(text, graph.tensors).build()
        except RunnerError:
            raise
        except Exception as error:
            raise GraphError(f"{graph.root.name} cannot be built: {one_line(error)}.") from error
    return module


def reconstruct_unit(graph: Graph, path: str, arguments: Mapping[str, Argument]) -> None:
    """Changes arguments of the constructor of a unit. A layer is changed directly; a unit with code
    is rebuilt, reconverted and replaced. References by ancestors to the unit and its
    weights are moved to the new one, and it inherits the same weights."""
    unit = graph.unit(path)
    if unit.grade == "basic":
        for name, value in arguments.items():
            unit.set_argument(name, value)
        return
    if unit.call is None:
        raise GraphError(f"{path}: the constructor call of this {unit.name} is unknown.")
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

    merge_graph(graph, constructed(call, graph), put)


def _refer(owner: Unit, twins: Mapping[Unit, Unit]) -> None:
    """Redirects the starts and edits of a unit to the replacements of other units; starts of
    tensors that these do not have are dropped."""
    owner.edits = [edit.moved(twins) for edit in owner.edits]
    starts = [start.moved(twins) for start in owner.starts]
    owner.starts = [start for start in starts if _has(start.unit, start.name)]


def _has(unit: Unit, name: str) -> bool:
    return unit.grade != "graph" or name in unit.weights
