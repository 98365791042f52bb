"""Decides in which grade each module of a model becomes a unit, and notes why it is no better."""

import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

from torch import nn

from runner.errors import GraphError
from runner.graph.class_source.bytecode_names import (
    used_attributes,
    used_names,
    uses,
    uses_class,
)
from runner.graph.class_source.overridden_methods import (
    METHODS,
    overridden,
    overrides,
    overrides_call,
)
from runner.graph.frontend.attributes import default_of
from runner.graph.frontend.chosen_readings import ChosenReadings
from runner.graph.frontend.constructor_call import (
    Construction,
    class_of,
    from_attributes,
    modules_in,
)
from runner.graph.frontend.initial_values.added_tensors import TensorPath, unwritable
from runner.graph.frontend.literals.literal import reference
from runner.graph.frontend.live_modules.constructor_replay import OWN
from runner.graph.frontend.live_modules.hooks_and_attributes import (
    CALLED,
    keeper_of,
    keepers,
    lost_attributes,
)
from runner.graph.frontend.live_modules.kept_modules import Keep
from runner.graph.frontend.live_modules.notes import ConversionNotes
from runner.graph.frontend.live_modules.parametrizations import plain_class
from runner.graph.frontend.reading.opaque import is_choice, is_opaque
from runner.graph.frontend.reading.read_module import AttributeRead, Caller
from runner.graph.frontend.reading.readings import Readings
from runner.graph.ir.function import Function
from runner.graph.ir.unit import Grade, Unit
from runner.nn.recording.construction_record import record_of
from runner.nn.values.build import CONTAINERS, is_scripted


@final
@dataclass(frozen=True, eq=False)
class GradedModel:
    """The readings of a model and its units, which have a grade and a class, by the ids of modules.

    `chosen` are the readings of units with functions; `used` are the plain attributes of a module
    that code above it may use; `construction` knows how modules were constructed.
    """

    readings: Readings
    units: dict[int, Unit]
    chosen: ChosenReadings
    used: dict[int, list[str]]
    construction: Construction
    notes: ConversionNotes

    def items(self) -> Iterator[tuple[nn.Module, Unit]]:
        """Yields the modules that became units, in the order of the model."""
        for module in self.readings.model.modules():
            if id(module) in self.units:
                yield module, self.units[id(module)]

    def functions(self, module: nn.Module) -> dict[str, Function]:
        """Returns the methods of a module as the functions of its unit."""
        functions = {**self.chosen[module].functions}
        if keeps_forward(module):
            functions.pop("forward", None)
        return functions

    def reads(self, module: nn.Module) -> Iterable[AttributeRead]:
        """Returns the attributes that the methods of a module read or set."""
        return self.chosen[module].reads if module in self.chosen else ()


def grade(readings: Readings, keep: Keep) -> GradedModel:
    """Grades the modules of a model from the top; `keep` are modules to keep as they are, and
    readings that are distrusted. It grows by readings that call what cannot be converted."""
    while True:
        graded = _graded(readings, keep)
        modules = [module for module, unit in graded.items() if unit.grade == "graph"]
        wrong = [*graded.chosen.add_called_methods(modules)]
        found = [keep.distrust(m, graded.chosen.frontend(m), problem) for m, problem in wrong]
        if not any(found):
            return graded


def _graded(readings: Readings, keep: Keep) -> GradedModel:
    units: dict[int, Unit] = {}
    notes = ConversionNotes(readings.model)
    construction = Construction(readings.tensors, units, notes)
    graded = GradedModel(readings, units, ChosenReadings(readings, keep), {}, construction, notes)
    _Grading(graded, keep).visit(readings.model, None)
    return graded


@final
class _Grading:
    """The grading of modules, with a note on each that is kept as it is."""

    def __init__(self, graded: GradedModel, keep: Keep) -> None:
        self.graded = graded
        self.model = graded.readings.model
        self.readings = graded.readings
        self.chosen = graded.chosen
        self.construction = graded.construction
        self.notes = graded.notes
        self.keep = keep
        self._used_names = functools.cache(used_names)
        self._uses = functools.cache(uses)

    def visit(self, module: nn.Module, names: frozenset[str] | None) -> None:
        """Makes the units of a module and of those below it; `names` are those that unread code
        above may use of it, None if all code above was read."""
        if id(module) in self.graded.units:
            return
        self.graded.used[id(module)] = used_attributes(names or frozenset(), module)
        grade, inherits = self.grade(module, names)
        unit = self.graded.units[id(module)] = Unit(grade, class_of(module))
        unit.inherits = inherits
        if grade == "graph":
            frontend = self.chosen.frontend(module)
            unit.mark(frontend=frontend)
            if problem := self.chosen.problem(module):
                self.notes.say(module, f"Read by {frontend}. {problem}.")
        if grade != "basic":
            names = self._used_below(module, unit, names)
            for child in module._modules.values():
                if child is not None:
                    self.visit(child, names)

    def _used_below(
        self, module: nn.Module, unit: Unit, names: frozenset[str] | None
    ) -> frozenset[str] | None:
        """Returns the names that unread code of a module and above it may use of its children;
        None if all was read."""
        cls: Any = type(module)
        if unit.grade == "graph" and not unit.inherits:
            return names
        known = names or frozenset()
        if unit.grade == "symbolic":
            return known | {CALLED}
        functions = self.graded.functions(module) if unit.grade == "graph" else ()
        more = self._used_names(cls, without=frozenset(functions))
        if unit.inherits and not overrides_call(cls):
            if names is None and more <= METHODS:
                return None  # a child that has a method of these names inherits, too
            return known | more
        return known | more | {CALLED}

    def grade(self, module: nn.Module, names: frozenset[str] | None) -> tuple[Grade, bool]:
        """Returns the grade of a module, and whether its unit inherits from its class; `names` are
        as for `visit`."""
        cls: Any = type(module)
        if is_choice(cls):
            return "symbolic", False
        if is_opaque(module):
            return "basic", False
        used = names is not None and uses_class(names, cls)
        inherits = bool(overridden(cls)) or (used and CALLED not in (names or ()))
        used = used and not inherits
        whole = id(module) in self._kept
        kept = self.keep(module)
        if inherits and overrides_call(cls):
            names = (names or frozenset()) | {CALLED}
        if whole:
            why, instead = f"{_UNSEEN}: {self._kept[id(module)]}", _UNSEEN_INSTEAD
        elif kept is not None:
            why, instead, whole = kept.reason, _UNREAD_INSTEAD, kept.whole
        elif used:
            why, instead = f"{_UNREAD}. {_CALLERS}", _UNREAD_INSTEAD
        elif not self._choose(module, names):
            why, instead = f"{_UNREAD}. {self.chosen.problem(module)}", _UNREAD_INSTEAD
        elif inherits and not self._can_inherit(module):
            why, instead = f"{_UNSEEN}: {overrides(cls)}", _UNSEEN_INSTEAD
        else:
            return "graph", inherits
        if not is_importable(module) and not whole:
            text = f"{why}, and source cannot import its class. {_UNMADE}"
            self.notes.say(module, text, lost=True)
        whole = whole or not self._has_children(module) or self._stays_whole(module)
        self.notes.kept(module, why, instead, whole=whole)
        return ("basic" if whole else "shell"), False

    def _can_inherit(self, module: nn.Module) -> bool:
        """Returns whether source can import the class of a module and set all attributes that its
        methods use."""
        if not is_importable(module):
            return False
        return not any(True for _ in lost_attributes(module, default_of, self._uses))

    def _choose(self, module: nn.Module, names: frozenset[str] | None) -> bool:
        """Chooses the reading of a module; returns whether there is one."""
        called = not keeps_forward(module)
        return self.chosen.choose(module, self._caller(module, names), called=called)

    def _caller(self, module: nn.Module, names: frozenset[str] | None) -> Caller:
        """Returns who calls the forward of a module; `names` are as for `visit`."""
        if module is self.model:
            return "user" if names is None else "unread"
        return "unread" if names is not None and CALLED in names else "read"

    def _has_children(self, module: nn.Module) -> bool:
        """Returns whether a module that was not read has parts that can be mutated. If its
        constructor call is unknown, it is made of its parts in any case."""
        return any(True for _ in module.children()) or (
            self.construction.call(module, record_of(module)) is None
            and from_attributes(module) is None
        )

    def _stays_whole(self, module: nn.Module) -> bool:
        """Returns whether a module can be constructed as a whole, and a shell would lose
        attributes."""
        lost = any(True for _ in lost_attributes(module, default_of, self._uses))
        return lost and self._can_make(module)

    def _can_make(self, module: nn.Module) -> bool:
        """Returns whether a module can be made by its constructor alone."""
        return not self.construction.holds_choices(module) and self.construction.makes_again(module)

    @cached_property
    def _kept(self) -> dict[int, str]:
        """The reasons to keep modules that only their constructors can reproduce, by their ids.
        Adds notes where no constructor can."""
        kept = {}
        rebuilt = self.construction.rebuilder.rebuilt
        found = keepers(self.model, self.readings.is_read, rebuilt, self._can_make, self._uses)
        for module, keeper, names in found:
            if keeper is None:
                self.notes.say(module, _LOST.format(" and ".join(names)), lost=True)
            else:
                where = "it" if module is keeper else repr(self.notes.paths[id(module)])
                kept[id(keeper)] = f"its constructor adds {' and '.join(names)} to {where}"
        for module, why in self._unmade():
            path = self.notes.paths[id(module)]
            keeper = keeper_of(self.model, path, module, rebuilt, self._can_make)
            if keeper is None:
                self.notes.say(module, f"{why[:1].upper()}{why[1:]}. {_UNMADE}", lost=True)
            else:
                kept.setdefault(id(keeper), f"in {path!r}, {why}" if path else why)
        for layer in self.layers:
            for inside, name in self._unwritable(layer):
                keeper, text = self._keeper_of_layer(layer, inside, name)
                kept.setdefault(id(keeper), text)
        return kept

    def _unmade(self) -> Iterator[tuple[nn.Module, str]]:
        """Yields the modules that source cannot make by themselves, and why."""
        inside: set[nn.Module] = set()  # parts of compiled modules
        for module in self.model.modules():
            opaque = is_opaque(module)
            if is_choice(type(module)) or module in inside:
                continue
            if by := compiled_by(module):
                inside.update(module.modules())
                yield module, f"it is compiled by {by}"
            elif not is_importable(module) and (opaque or not self.readings.is_read(module)):
                yield module, "its class cannot be imported by source"
            elif not self.construction.has_hooks_written(module):
                yield module, "its parametrization cannot be written as source"
            elif not opaque and (why := self._only_made_whole(module)):
                yield module, why
            elif not opaque and self._holds_modules(module):
                yield module, "it contains modules that PyTorch does not register"

    def _only_made_whole(self, module: nn.Module) -> str:
        """Returns why a module can be made by its constructor only, as far as readings tell."""
        for _, found in self.readings.of(module):
            if found.whole or not found.problem:
                return found.whole
        return ""

    def _holds_modules(self, module: nn.Module) -> bool:
        """Returns whether methods of a module use plain attributes that contain modules; those that
        are registered as well do not count if the methods were read."""
        cls: Any = type(module)
        used = self._uses(cls)
        registered = {*module.modules()} if self.readings.is_read(module) else set()
        return any(
            name in used and any(inner not in registered for inner in modules_in(value))
            for name, value in vars(module).items()
            if name not in OWN
        )

    @cached_property
    def layers(self) -> list[nn.Module]:
        """The outermost layers of torch and classes with @basic_unit."""
        found: list[nn.Module] = []
        inside: set[nn.Module] = set()
        for module in self.model.modules():
            if module not in inside and is_opaque(module):
                found.append(module)
                inside.update(module.modules())
        return found

    def _unwritable(self, layer: nn.Module) -> list[TensorPath]:
        rebuilt = self.construction.rebuilt(layer)
        return [] if rebuilt is None else [*unwritable(layer, rebuilt)]

    def _keeper_of_layer(self, layer: nn.Module, inside: str, name: str) -> tuple[nn.Module, str]:
        """Returns the module to keep around a layer that was changed, and why. Raises GraphError
        if no constructor makes it."""
        module = layer.get_submodule(inside)
        path = self.notes.paths[id(module)]
        rebuilt = self.construction.rebuilder.rebuilt
        keeper = keeper_of(self.model, path, module, rebuilt, self._can_make)
        if keeper is None:
            raise GraphError(
                f"{path or 'the model'} ({type(module).__name__}): it was changed after "
                f"construction and has {name}, which source cannot express. Write a class whose "
                "constructor does it, at the top level of a file, and decorate it with @basic_unit."
            )
        return keeper, f"its constructor makes {path!r} with {name}"


_UNREAD = "Its forward cannot be converted"
_UNREAD_INSTEAD = "write that part of its forward differently"
_CALLERS = "Its callers could not be read, and may use more of it than forward"
_UNSEEN = "It does more than its forward"
_UNSEEN_INSTEAD = "move this behavior into forward"
_UNMADE = (
    "Pass the original module; define classes at the top level of a file; put modules into an "
    "nn.ModuleList or nn.ModuleDict."
)
_LOST = (
    "Added to this module, but not part of the graph: {}. Do it in forward, or decorate the class "
    "whose constructor does it with @basic_unit."
)


def is_importable(module: nn.Module) -> bool:
    """Returns whether source can import the class of a module."""
    try:
        reference(plain_class(module))
    except GraphError:
        return False
    return True


def compiled_by(module: nn.Module) -> str:
    """Returns the compiler of a module, whose Python is then out of reach; "" for none."""
    if is_scripted(type(module)):
        return "TorchScript"
    return "torch.compile" if type(module).__name__ == "OptimizedModule" else ""


def keeps_forward(module: nn.Module) -> bool:
    """Returns whether a container has no forward of its own."""
    if not isinstance(module, CONTAINERS) or "forward" in vars(module):
        return False
    return type(module).forward in (nn.Sequential.forward, nn.Module.forward)
