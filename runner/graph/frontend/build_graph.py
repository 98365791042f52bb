"""Modules as units: their classes, functions and children."""

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, final

from torch import nn

from runner.errors import GraphError
from runner.graph.frontend.attributes import Attributes
from runner.graph.frontend.bytecode_names import used_attributes, used_names
from runner.graph.frontend.constructor_call import Construction
from runner.graph.frontend.grades import Grading, keeps_forward
from runner.graph.frontend.initial_values.added_tensors import Added
from runner.graph.frontend.initial_values.parameters import Weights
from runner.graph.frontend.initial_values.recorded_calls import Places
from runner.graph.frontend.initial_values.reparametrized import put_in_order
from runner.graph.frontend.kept_modules import Keep
from runner.graph.frontend.literal import Literals, reference
from runner.graph.frontend.notes import Notes
from runner.graph.frontend.overrides_and_hooks import CALLED, METHODS, calls_anew, no_module
from runner.graph.frontend.parametrizations import plain_class
from runner.graph.frontend.torchscript.choice_stubs import is_choice
from runner.graph.frontend.torchscript.compile import CONTAINERS, Reader
from runner.graph.ir.graph import Graph
from runner.graph.ir.node import Argument
from runner.graph.ir.unit import Ref, Unit
from runner.nn.expression import Expression, is_open
from runner.nn.layer import Placeholder
from runner.nn.recording.record import record_of


@final
class Units:
    """Makes the graph of a model that was read."""

    def __init__(self, model: nn.Module, reader: Reader, keep: Keep) -> None:
        self.model = model
        self.reader = reader
        self.made: dict[int, Unit] = {}
        self.notes = Notes(model)
        literals = Literals(self._argument, reader.tensors)
        self.weights = Weights(model, reader, literals, self.notes)
        plain = Literals(no_module, reader.tensors)
        self.attributes = Attributes(reader, plain, self.notes)
        self.construction = Construction(reader, literals, self.weights, self.notes)
        self.grading = Grading(model, reader, self.construction, self.notes, keep)
        self._used: dict[int, list[str]] = {}  # attributes that a shell above may use

    def graph(self) -> Graph:
        """The graph: all units, then what is known of them as a whole."""
        graph = Graph(self.unit(self.model, None))
        for module, unit in self._units():
            self.attributes.describe(module, unit, self._used[id(module)])
        self.weights.settle(self._places)
        for module, unit in self._units():
            self.construction.describe(module, unit)
        graph.functions = self.reader.functions
        graph.tensors = self.reader.tensors
        graph.ties = [*self.weights.ties()]
        self._behind(graph)
        graph.notes = self.notes.all()
        return graph

    def _behind(self, graph: Graph) -> None:
        """What was done to layers behind their constructors, in an order that source allows."""
        modules = {unit: module for module, unit in self._units()}
        basic = [unit for unit in modules if unit.grade == "basic" and unit.call is not None]
        twins = {unit: self.construction.twin(modules[unit]) for unit in basic}
        known = {unit: twin for unit, twin in twins.items() if twin is not None}
        added = Added(self.construction.literals, self.notes)
        graph.ties = added.settle(modules, known, graph.ties)
        put_in_order(modules, self.notes)

    def _units(self) -> Iterator[tuple[nn.Module, Unit]]:
        """The modules that became units, in the order of the model."""
        for module in self.model.modules():
            if id(module) in self.made:
                yield module, self.made[id(module)]

    @cached_property
    def _places(self) -> Places:
        """By the id of a module, its unit, and its path in there if that is a basic unit."""
        found: dict[int, tuple[Unit, str]] = {}
        for module, unit in self._units():
            inner = module.named_modules() if unit.grade == "basic" else [("", module)]
            for path, part in inner:
                found.setdefault(id(part), (unit, f"{path}." if path else ""))
        return found

    def unit(self, module: nn.Module, names: frozenset[str] | None) -> Unit:
        """The unit of a module; with the names that those above which were not read may use of
        it, None if all were read."""
        if id(module) in self.made:
            return self.made[id(module)]
        self._used[id(module)] = used_attributes(names or frozenset(), module)
        grade, inherits = self.grading.grade(module, names)
        unit = self.made[id(module)] = Unit(grade, self._class(module))
        unit.inherits = inherits
        if grade == "open":
            unit.facts = self._facts(module)
        elif grade == "graph":
            unit.functions = {**self.reader.types[id(module)].functions}
            if keeps_forward(module):
                unit.functions.pop("forward", None)
        if isinstance(module, Placeholder):
            unit.facts["labels"] = (module.name,)
        if (
            grade == "basic"
            and (record := record_of(module))
            and is_open((record.args, record.kwargs))
        ):
            return unit  # the shapes of its weights are open too
        self.weights.describe(module, unit)
        if grade != "basic":
            names = _used_below(module, unit, names)
            for name, child in module._modules.items():
                unit.children[name] = None if child is None else self.unit(child, names)
        return unit

    def _class(self, module: nn.Module) -> Ref:
        cls: Any = type(module)
        if is_choice(cls):
            return Ref(f"runner.nn:{cls.kind}")
        cls = plain_class(module)
        try:
            return Ref(reference(cls))
        except GraphError:
            container = next((base for base in CONTAINERS if isinstance(module, base)), None)
            if container is not None:
                return Ref(reference(container))
            return Ref(f"{cls.__module__}:{cls.__qualname__}")

    def _facts(self, module: nn.Module) -> dict[str, Any]:
        facts = dict(module.facts())  # type: ignore[operator]
        for name, fact in facts.items():
            if callable(fact) and not isinstance(fact, nn.Module | Expression):
                facts[name] = Ref(reference(fact))
        if "labels" not in facts:
            facts["labels"] = tuple(dict.fromkeys(_labels(facts.values())))
        return facts

    def _argument(self, module: nn.Module) -> Argument:
        """The unit of a module that was given to a constructor."""
        if id(module) in self.made:
            return self.made[id(module)]
        record = record_of(module)
        call = self.construction.call(module, record)
        if call is None:
            raise GraphError(f"How a {type(module).__name__} was constructed is not known.")
        return Unit("basic", self._class(module), call)


def _used_below(
    module: nn.Module, unit: Unit, names: frozenset[str] | None
) -> frozenset[str] | None:
    """The names that a module and those above it may use of its children where they were not read;
    None if all were."""
    cls: Any = type(module)
    if unit.grade == "graph" and not unit.inherits:
        return names
    known = names or frozenset()
    if unit.grade == "open":
        return known | {CALLED}
    more = used_names(cls, without=frozenset(unit.functions))
    if unit.inherits and not calls_anew(cls):
        if names is None and more <= METHODS:
            return None  # a child that has a method of these names inherits, too
        return known | more
    return known | more | {CALLED}


def _labels(facts: Any) -> Iterator[str]:
    """The labels of all choices in what a primitive says of itself."""
    for fact in facts:
        if isinstance(fact, Expression):
            yield from (choice.label for choice in fact.choices)
        elif isinstance(fact, Mapping):
            yield from _labels(fact.values())
        elif isinstance(fact, list | tuple):
            yield from _labels(fact)
        elif isinstance(getattr(fact, "label", None), str):
            yield fact.label
