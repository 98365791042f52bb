"""Adds the state of units to a graph: weights and attributes, and the calls that create them."""

from torch import nn

from runner.graph.frontend.attributes import Attributes
from runner.graph.frontend.grades import GradedModel
from runner.graph.frontend.initial_values.added_tensors import AddedTensors
from runner.graph.frontend.initial_values.parameters import Weights
from runner.graph.frontend.initial_values.recorded_calls import UnitPlaces
from runner.graph.frontend.initial_values.reparametrized import order_reparametrizations
from runner.graph.frontend.literals.literal import Literals
from runner.graph.frontend.live_modules.hooks_and_attributes import no_module
from runner.graph.ir.graph import Graph
from runner.graph.ir.unit import Unit
from runner.nn.recording.construction_record import record_of
from runner.nn.values.expression import is_symbolic


def initialize(graph: Graph, graded: GradedModel) -> None:
    """Describes the weights, attributes and constructor calls of all units, and the calls that
    fill weights."""
    model, tensors = graded.readings.model, graded.readings.tensors
    construction, notes = graded.construction, graded.notes
    weights = Weights(model, tensors, construction.literals, notes)
    attributes = Attributes(Literals(no_module, tensors), notes)
    for module, unit in graded.items():
        if not _has_symbolic_shapes(module, unit):
            weights.describe(module, unit)
    for module, unit in graded.items():
        attributes.describe(module, unit, graded.reads(module), graded.used[id(module)])
    weights.find_starts(_places(graded))
    for module, unit in graded.items():
        if unit.grade != "symbolic":
            unit.starts = weights.starts(module)
        construction.describe(module, unit)
    modules = {unit: module for module, unit in graded.items()}
    layers = [unit for unit in modules if unit.grade == "basic" and unit.call is not None]
    rebuilt_layers = {unit: construction.rebuilt(modules[unit]) for unit in layers}
    known = {unit: rebuilt for unit, rebuilt in rebuilt_layers.items() if rebuilt is not None}
    added = AddedTensors(construction.literals, notes)
    graph.ties = [*weights.ties()]
    graph.ties = added.add_all(modules, known, graph.ties)
    order_reparametrizations(modules, notes)
    graph.notes = notes.all()


def _has_symbolic_shapes(module: nn.Module, unit: Unit) -> bool:
    """Returns whether the shapes of the weights of a layer are not known yet."""
    if unit.grade != "basic" or (record := record_of(module)) is None:
        return False
    return is_symbolic((record.args, record.kwargs))


def _places(graded: GradedModel) -> UnitPlaces:
    """Returns, by the id of a module, its unit, and its path inside if that is a basic unit."""
    found: dict[int, tuple[Unit, str]] = {}
    for module, unit in graded.items():
        inner = module.named_modules() if unit.grade == "basic" else [("", module)]
        for path, part in inner:
            found.setdefault(id(part), (unit, f"{path}." if path else ""))
    return found
