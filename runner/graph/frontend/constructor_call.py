"""Constructor calls of modules, verified by repeating them."""

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from types import FunctionType
from typing import Any, final

from torch import Tensor, nn

from runner.errors import GraphError
from runner.graph.class_source.bytecode_names import called_names
from runner.graph.class_source.called_values import called_values, may_call
from runner.graph.frontend.attributes import is_plain, is_shared
from runner.graph.frontend.literals.literal import Literals, reference
from runner.graph.frontend.live_modules.constructor_replay import Difference, Rebuilder, bound
from runner.graph.frontend.live_modules.hooks_and_attributes import is_given
from runner.graph.frontend.live_modules.kept_modules import class_name
from runner.graph.frontend.live_modules.notes import ConversionNotes
from runner.graph.frontend.live_modules.parametrizations import hooked, plain_class
from runner.graph.frontend.reading.opaque import is_choice, is_opaque
from runner.graph.ir.argument import Argument
from runner.graph.ir.unit import CAST, Call, Edit, Ref, Unit
from runner.nested import leaves
from runner.nn.recording.construction_record import KEY, ConstructionRecord, record_of
from runner.nn.values.build import CONTAINERS
from runner.nn.values.expression import is_symbolic, replace_symbolic, variables_in
from runner.nn.values.value import is_decided


@final
class Construction:
    """The constructor calls of modules, and the changes made after them."""

    def __init__(
        self, tensors: dict[str, Tensor], units: Mapping[int, Unit], notes: ConversionNotes
    ) -> None:
        """Looks modules up in `units`: those made so far, by the ids of modules."""
        self.literals = Literals(self._unit_of, tensors)
        self.notes = notes
        self._units = units
        self.rebuilder = Rebuilder(lambda value: replace_symbolic(value, lambda e: e.default))
        self._symbolic: dict[int, bool] = {}
        self._was_cast: set[int] = set()
        self._may_call = functools.cache(may_call)
        self._called_names = functools.cache(called_names)

    def describe(self, module: nn.Module, unit: Unit) -> None:
        """Adds the constructor call of a module, and changes made after it, to its unit."""
        if unit.grade == "symbolic":
            return
        if unit.grade == "graph" and is_plain(module):
            return
        record = record_of(module)
        if unit.grade == "basic":
            self._check_own_choices(module)
            if record is None or record.lazy:
                record = from_attributes(module)
        unit.call = self.call(module, record)
        if unit.grade == "basic" and unit.call is None and record_of(module) is not None:
            self.notes.say(module, _UNKNOWN, lost=True)
        if record is not None and record.asked and unit.grade != "basic":
            unit.changed = True  # the call alone would build the default candidates
        self._hooks(module, unit)
        self._called_values(module, unit, record)
        if unit.call is None or record is None or self._takes_from_outside(module, record):
            unit.changed = unit.changed or unit.grade != "basic" or unit.call is None
        elif not unit.hooked and (unit.grade == "basic" or not self.holds_choices(module)):
            self._check(module, unit, record)

    def _check_own_choices(self, module: nn.Module) -> None:
        """Raises GraphError for a unit kept whole whose constructor declares choices: calling it
        would make the default ones."""
        record = record_of(module)
        given = set() if record is None else _labels((record.args, {**record.kwargs}))
        for inner in module.modules():
            held = [value for name, value in vars(inner).items() if name != KEY]
            captured = [*_captured(held)]
            decided = any(map(is_decided, captured))
            if is_choice(type(inner)) or _labels([*held, *captured]) - given or decided:
                raise GraphError(
                    f"{self.notes.place(module)} ({type(module).__name__}) is kept as a "
                    "whole, but its constructor makes a symbolic choice. Pass the choice to the "
                    "constructor as an argument, or run with engine=py."
                )

    def _takes_from_outside(self, module: nn.Module, record: ConstructionRecord) -> bool:
        """Returns whether a constructor was passed a module that is also used elsewhere in the
        model: the call alone would make another one."""
        path = self.notes.paths[id(module)]
        prefix = f"{path}." if path else ""
        given = (
            self.notes.paths.get(id(inner)) for inner in modules_in((record.args, record.kwargs))
        )
        return any(other is not None and not other.startswith(prefix) for other in given)

    def _hooks(self, module: nn.Module, unit: Unit) -> None:
        """Adds the parametrizations applied to a module after construction."""
        try:
            unit.hooked = hooked(module, self.literals)
        except GraphError as error:
            self.notes.say(module, f"Its parametrization cannot be written as source. {error}")

    def has_hooks_written(self, module: nn.Module) -> bool:
        """Returns whether the parametrizations applied to a module can be written."""
        try:
            hooked(module, self.literals)
        except GraphError:
            return False
        return True

    def _called_values(
        self, module: nn.Module, unit: Unit, record: ConstructionRecord | None
    ) -> None:
        """Handles values of choices that are called: code that was read has plain values instead,
        so the constructor call no longer makes the unit; other code needs callable ones."""
        if unit.grade == "graph" and called_values(module, self._called_names):
            unit.changed = True
        if unit.call is not None and self._may_call_values(module, unit):
            unit.call = self.call(module, record, self.literals.callable)

    def _may_call_values(self, module: nn.Module, unit: Unit) -> bool:
        """Returns whether code of a module that was not read, or of one inside, may call a
        value."""
        if type(module).__module__.startswith("torch."):
            return False
        for path, inner in unit.walk():
            part = module.get_submodule(path)
            whole = inner.grade == "basic"
            read = whole or inner.grade == "shell" or inner.inherits
            classes: list[Any] = [type(m) for m in (part.modules() if whole else (part,))]
            if read and any(map(self._may_call, classes)):
                return True
        return False

    def makes_again(self, module: nn.Module) -> bool:
        """Returns whether the constructor call of a module is known and makes an equal one."""
        record = record_of(module)
        call = self.call(module, record)
        if record is None or call is None or self._takes_from_outside(module, record):
            return False
        return self.rebuilder.edits(module, record, _key(call)) is not None

    def rebuilt(self, module: nn.Module) -> nn.Module | None:
        """Returns a layer as its constructor alone makes it; None if the call is not known."""
        cls = plain_class(module)
        if is_choice(cls):
            return None
        record = record_of(module)
        if (record is None or record.lazy) and cls.__module__.startswith("torch.nn."):
            record = from_attributes(module)
        call = self.call(module, record)
        if call is None or record is None:
            return None
        return self.rebuilder.cached(module, record, _key(call))

    def call(
        self,
        module: nn.Module,
        record: ConstructionRecord | None,
        literal: Callable[[Any], Argument] | None = None,
    ) -> Call | None:
        """Returns the constructor call of a module, its arguments written by `literal`."""
        if record is None or is_given(module, record):
            return None
        cls = plain_class(module)
        names = dict([*inspect.signature(cls.__init__).parameters.items()][1:])
        record = bound(record, names)
        try:
            if record is None:
                return None
            write = literal or self.literals.of
            kwargs = {name: write(value) for name, value in record.kwargs.items()}
            return Call(reference(cls), tuple(write(arg) for arg in record.args), kwargs)
        except GraphError as error:
            if is_opaque(module) and id(module) in self.notes.paths:
                self.notes.say(module, f"Its constructor call cannot be written as source. {error}")
            return None

    def _check(self, module: nn.Module, unit: Unit, record: ConstructionRecord) -> None:
        assert unit.call is not None
        key = _key(unit.call)
        self._cast(module, unit, record)
        edits = self.rebuilder.edits(module, record, key)
        if edits is None and record.asked and unit.grade == "basic":
            why = self.notes.why_kept(module)
            advice = f"It is kept since {why}. Change that, or pass" if why else "Pass"
            raise GraphError(
                f"{self.notes.place(module)} ({type(module).__name__}) is kept as a whole, "
                f"but its constructor asks for a choice. {advice} the chosen value to the "
                "constructor as an argument, or run with engine=py."
            )
        if edits is None:
            unit.changed = unit.grade != "basic"
            if unit.changed:
                return
            others = self.rebuilder.others(module, record, key)
            edits = [edit for edit in others if not _is_given(module, *edit[:2])]
        edits = [edit for edit in edits if not self._is_shared(module, edit)]
        try:
            unit.edits = [
                Edit.at(unit, path, name, self.literals.callable(v)) for path, name, v in edits
            ]
        except GraphError:
            unit.changed = True

    def _is_shared(self, module: nn.Module, edit: Difference) -> bool:
        """Returns whether an edit would write a copy of memory that a module shares; notes that."""
        path, name, value = edit
        owner = module.get_submodule(path) if path in dict(module.named_modules()) else None
        if owner is None or name in owner._parameters or name in owner._buffers:
            return False
        return is_shared(owner, name, value, self.notes)

    def _cast(self, module: nn.Module, unit: Unit, record: ConstructionRecord) -> None:
        """Records a cast of a module, unless one above it was cast."""
        assert unit.call is not None
        dtype = self.rebuilder.cast(module, record, _key(unit.call))
        if dtype is None or id(module) in self._was_cast:
            return
        self._was_cast |= {id(inner) for inner in module.modules()}
        unit.hooked.append(Call(CAST, (Ref.of_torch(dtype),)))

    def _unit_of(self, module: nn.Module) -> Unit:
        """Returns the unit of a module that was passed to a constructor."""
        if id(module) in self._units:
            return self._units[id(module)]
        call = self.call(module, record_of(module))
        if call is None:
            raise GraphError(f"The constructor call of a {type(module).__name__} is unknown.")
        return Unit("basic", class_of(module), call)

    def holds_choices(self, module: nn.Module) -> bool:
        """Returns whether a module contains unresolved choices, so that its constructor alone
        cannot make it."""
        if id(module) not in self._symbolic:
            record = record_of(module)
            self._symbolic[id(module)] = (
                (record is not None and is_symbolic((record.args, record.kwargs)))
                or is_choice(type(module))
                or is_symbolic(vars(module))
                or any(self.holds_choices(child) for child in module.children())
            )
        return self._symbolic[id(module)]


def class_of(module: nn.Module) -> Ref:
    """Returns the class of the unit of a module: that of the module if it can be imported, else the
    container it derives from, if any."""
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
        return Ref(class_name(module))


def _labels(value: Any) -> set[str]:
    """Returns the labels of the unresolved choices in a value."""
    return {variable.choice.label for variable in variables_in(value)}


def _captured(value: Any) -> Iterator[Any]:
    """Yields the values captured by functions in a value or container: closures, defaults, and
    arguments of partial functions."""
    for leaf in leaves(value, subclasses=True):
        if isinstance(leaf, set):
            yield from _captured([*leaf])
        elif isinstance(leaf, functools.partial):
            yield from (*leaf.args, *leaf.keywords.values())
            yield from _captured(leaf.func)
        elif isinstance(leaf, FunctionType):
            yield from leaf.__defaults__ or ()
            for cell in leaf.__closure__ or ():
                with suppress(ValueError):  # not bound yet
                    yield cell.cell_contents
                    yield from _captured(cell.cell_contents)


_UNKNOWN = (
    "Its constructor call cannot be written as source. Pass only numbers, strings, tensors and "
    "objects of importable classes to its constructor."
)


def modules_in(argument: Any) -> Iterator[nn.Module]:
    """Returns the modules among arguments, at any depth in containers."""
    return (leaf for leaf in leaves(argument, subclasses=True) if isinstance(leaf, nn.Module))


def _is_given(module: nn.Module, path: str, name: str) -> bool:
    """Returns whether the replacement of a parameter was recorded, so that a start sets it."""
    owner = dict(module.named_modules()).get(path)
    record = None if owner is None else record_of(owner)
    return record is not None and name in record.origins


def _key(call: Call) -> Any:
    """Returns a key that is the same for equal calls; calls with units are equal to none."""
    arguments = (*call.args, *call.kwargs.values())
    plain = not any(isinstance(a, Unit) for a in arguments)
    return repr(call) if plain and "Unit" not in repr(call) else call


def from_attributes(module: nn.Module) -> ConstructionRecord | None:
    """Returns a constructor call whose arguments are attributes of their names; None if one is
    missing."""
    names = [*inspect.signature(type(module).__init__).parameters.values()][1:]
    kwargs = {}
    for parameter in names:
        name = parameter.name
        if name in module._parameters:
            kwargs[name] = module._parameters[name] is not None
        elif hasattr(module, name):
            kwargs[name] = getattr(module, name)
        elif parameter.default is parameter.empty and parameter.kind not in (
            parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD,
        ):  # fmt: skip
            return None
    return ConstructionRecord((), kwargs)
