"""Plain attributes of modules, written to the units that need them."""

import inspect
from collections.abc import Iterable, Sequence
from types import FunctionType
from typing import Any, final

from torch import nn

from runner.errors import GraphError
from runner.graph.class_source.bytecode_names import uses
from runner.graph.frontend.literals.literal import Literals, reference
from runner.graph.frontend.live_modules.constructor_replay import OWN
from runner.graph.frontend.live_modules.notes import ConversionNotes
from runner.graph.frontend.reading.read_module import AttributeRead, ModulePath
from runner.graph.ir.unit import Call, Edit, Ref, Unit
from runner.nn.recording.attribution import shared_with
from runner.nn.values.build import CONTAINERS


@final
class Attributes:
    """A writer of attributes of modules as constants."""

    def __init__(self, literals: Literals, notes: ConversionNotes) -> None:
        self.literals = literals
        self.notes = notes

    def describe(
        self, module: nn.Module, unit: Unit, reads: Iterable[AttributeRead], used: Sequence[str]
    ) -> None:
        """Adds the attributes that its functions read (`reads`), that the class of an inheriting
        unit or shell needs, and those `used` by code above."""
        if unit.grade == "graph" and unit.functions:
            for name in used:
                self._read(module, unit, ModulePath(), name, called=True)
            for place, name in reads:
                self._read(module, unit, place, name, called=unit.inherits)
        elif unit.grade == "graph" and is_plain(module):
            for name in used:
                self._set(module, unit, name, vars(module)[name], called=True)
            unit.edits = [Edit(unit, "", name, value) for name, value in unit.attributes.items()]
            unit.attributes = {}
        if unit.grade == "shell" or unit.inherits:
            for name, value in vars(module).items():
                if name not in OWN and name not in unit.functions and name not in unit.attributes:
                    self._set(module, unit, name, value, called=True)

    def _read(
        self, module: nn.Module, unit: Unit, place: ModulePath, name: str, *, called: bool
    ) -> None:
        """Adds an attribute to the unit that owns it, unless a constructor sets it."""
        owner: Any = module
        for step in place.names:
            owner, below = owner._modules[step], unit.children.get(step)
            if below is None:
                return  # inside a basic unit
            unit = below
        if unit.grade != "graph" or name == "training" or name in unit.attributes:
            return
        if name in owner._parameters or name in owner._buffers:
            return
        self._set(owner, unit, name, getattr(owner, name), called=called)

    def _set(self, module: nn.Module, unit: Unit, name: str, value: Any, *, called: bool) -> None:
        """Adds an attribute; `called` if code that was not read may call a value of a choice
        in it."""
        if is_shared(module, name, value, self.notes):
            return
        literal = self.literals.callable if called else self.literals.of
        try:
            unit.attributes[name] = default_of(module, value) or literal(value)
        except GraphError as error:
            cls: Any = type(module)
            used = name in uses(cls)
            text = f"Its attribute {name!r} cannot be written as source. {error}{_INSTEAD * used}"
            self.notes.say(module, text, lost=used)


_SHARED = (
    "Its attribute {0!r} shares memory with {1!r}, and cannot be written as source: a copy would "
    "not change with it. Read {1!r} instead."
)
_INSTEAD = (
    " Build it from numbers, strings, tensors and objects of importable classes, or in the "
    "constructor of a class that takes no choices and no modules."
)


def is_shared(module: nn.Module, name: str, value: Any, notes: ConversionNotes) -> bool:
    """Returns whether an attribute shares memory with a parameter or buffer of its module, so that
    it cannot be written; notes that."""
    shared = shared_with(module, value)
    if shared is not None:
        lost = name in uses(type(module))
        notes.say(module, _SHARED.format(name, shared[0]), lost=lost)
    return shared is not None


def default_of(module: nn.Module, value: Any) -> Call | None:
    """Returns an expression for a lambda that is a default of the constructor: it can only be
    taken from the signature."""
    if not isinstance(value, FunctionType) or value.__name__ != "<lambda>":
        return None
    for cls in type(module).__mro__:
        if "__init__" not in vars(cls):
            continue
        for name, parameter in inspect.signature(cls).parameters.items():
            if parameter.default is value:
                signature = Call("inspect:signature", (Ref(reference(cls)),))
                every = Call("builtins:getattr", (signature, "parameters"))
                one = Call("operator:getitem", (every, name))
                return Call("builtins:getattr", (one, "default"))
    return None


def is_plain(module: nn.Module) -> bool:
    """Returns whether a module is a container of torch itself."""
    return type(module) in CONTAINERS
