"""Modules as units: how each was constructed, what it owns, what was changed behind its back."""

import inspect
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, final

import torch
from torch import Tensor, nn

from runner.errors import GraphError
from runner.graph.node import Argument
from runner.graph.reading.first import Places, first_value, gives, starts
from runner.graph.reading.hooks import hooked, other_hooks, plain_class
from runner.graph.reading.literal import SMALL, Literals, reference
from runner.graph.reading.pruned import pruned_test
from runner.graph.reading.rebuild import OWN, Rebuilder, bound
from runner.graph.reading.standins import called_values, is_choice
from runner.graph.reading.steps import Place
from runner.graph.reading.torchscript import CONTAINERS, Reader, Type
from runner.graph.reading.touched import used_attributes, used_names, uses_class
from runner.graph.unit import Call, Grade, Graph, Note, Ref, Stored, Unit, Weight
from runner.nn.expression import Expression, is_open, replace_open
from runner.nn.layer import Placeholder
from runner.nn.record import Record, record_of


@final
class Units:
    """Makes the graph of a model that was read."""

    def __init__(self, model: nn.Module, reader: Reader) -> None:
        self.model = model
        self.reader = reader
        self.literals = Literals(self._argument, reader.tensors)
        self.paths = {id(m): path for path, m in model.named_modules()}
        self.made: dict[int, Unit] = {}
        self.notes: dict[str, Note] = {}
        self.rebuilder = Rebuilder(lambda value: replace_open(value, lambda e: e.default))
        self._open: dict[int, bool] = {}
        self._used: dict[int, list[str]] = {}  # attributes that a shell above may use

    def graph(self) -> Graph:
        """The graph: all units, then what is known of them as a whole."""
        graph = Graph(self.unit(self.model, None))
        for module in self.model.modules():
            unit = self.made.get(id(module))
            if unit is not None:
                self._attributes(module, unit)
        for module in self.model.modules():
            unit = self.made.get(id(module))
            if unit is not None:
                self._construction(module, unit)
        graph.functions = self.reader.functions
        graph.tensors = self.reader.tensors
        graph.ties = [*self._ties()]
        graph.notes = [*self.notes.values()]
        return graph

    @cached_property
    def _places(self) -> Places:
        """By the id of a module, its unit, and its path in there if that is a basic unit."""
        found: dict[int, tuple[Unit, str]] = {}
        for module in self.model.modules():
            unit = self.made.get(id(module))
            if unit is not None:
                inner = module.named_modules() if unit.grade == "basic" else [("", module)]
                for path, part in inner:
                    found.setdefault(id(part), (unit, f"{path}." if path else ""))
        return found

    # Units

    def unit(self, module: nn.Module, names: frozenset[str] | None) -> Unit:
        """The unit of a module; with the names that those above which were not read may use of
        it, None if all were read."""
        if id(module) in self.made:
            return self.made[id(module)]
        found = self.reader.types[id(module)]
        grade = self._grade(module, found, names)
        unit = self.made[id(module)] = Unit(grade, self._class(module))
        if grade == "open":
            unit.facts = self._facts(module)
        elif grade == "graph" and not _keeps_forward(module):
            unit.functions = dict(found.functions)
        if isinstance(module, Placeholder):
            unit.facts["labels"] = (module.name,)
        if (
            grade == "basic"
            and (record := record_of(module))
            and is_open((record.args, record.kwargs))
        ):
            return unit  # the shapes of its weights are open too
        unit.parameters = {
            name: self._parameter(module, name, weight)
            for name, weight in module._parameters.items()
        }
        unit.buffers = {n: self._buffer(module, n, b) for n, b in module._buffers.items()}
        if grade != "basic":
            if grade in ("shell", "open"):
                cls: Any = type(module)
                more = used_names(cls) if grade == "shell" else frozenset()
                names = more | (names or frozenset())
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
            return Ref(f"{cls.__module__}:{cls.__qualname__}")

    def _grade(self, module: nn.Module, found: Type, names: frozenset[str] | None) -> Grade:
        cls = type(module)
        if is_choice(cls):
            return "open"
        if self.reader.is_opaque(module):
            return "basic"
        used = names is not None and uses_class(names, cls)
        self._used[id(module)] = used_attributes(names or frozenset(), module)
        if _keeps_forward(module) and not used:
            return "graph"
        if found.problem:
            self._note(module, found.problem)
        elif used:
            self._note(module, "What calls it was not read, and may use more of it than forward")
        elif names is not None and (test := pruned_test(module, found)):
            self._note(module, test)
        else:
            return "graph"
        return "shell" if self._has_children(module) else "basic"

    def _has_children(self, module: nn.Module) -> bool:
        """Whether a module that was not read has parts that can be mutated; where its constructor
        call is not known, it is made of its parts all the same."""
        return any(True for _ in module.children()) or (
            self._call(module, record_of(module)) is None and from_attributes(module) is None
        )

    def _note(self, module: nn.Module, problem: str) -> None:
        path, name = self.paths[id(module)], type(module).__qualname__
        kept = "a shell: its children can be mutated, its forward stays"
        if not self._has_children(module):
            kept = "a basic unit: its inside cannot be mutated"
        text = (
            f"TorchScript cannot read it. {problem}. Kept as {kept}. To mutate inside, write its "
            f"forward as TorchScript allows; to silence, decorate {type(module).__name__} with "
            "@basic_unit."
        )
        self.notes[path] = Note(path, name, text)

    def _facts(self, module: nn.Module) -> dict[str, Any]:
        facts = dict(module.facts())  # type: ignore[operator]
        for name, fact in facts.items():
            if callable(fact) and not isinstance(fact, nn.Module | Expression):
                facts[name] = Ref(reference(fact))
        if "labels" not in facts:
            facts["labels"] = tuple(dict.fromkeys(_labels(facts.values())))
        return facts

    # Weights

    def _parameter(self, module: nn.Module, name: str, weight: Tensor | None) -> Weight | None:
        if weight is None:
            return None
        start = None
        if not self.reader.is_opaque(module):
            start = first_value(record_of(module), name, self.literals)
        return Weight(tuple(weight.shape), _dtype(weight), weight.requires_grad, start=start)

    def _buffer(self, module: nn.Module, name: str, buffer: Tensor | None) -> Weight | None:
        if buffer is None:
            return None
        persistent = name not in module._non_persistent_buffers_set
        record = record_of(module)
        start: Argument = None
        if not self.reader.is_opaque(module):
            if gives(record, name, buffer):
                start = first_value(record, name, self.literals)
            start = start or _filled(buffer) or self._stored(module, name, buffer)
        return Weight(tuple(buffer.shape), _dtype(buffer), buffer.requires_grad, persistent, start)

    def _stored(self, module: nn.Module, name: str, buffer: Tensor) -> Argument:
        if buffer.numel() <= SMALL:
            return self.literals.of(buffer.detach())
        path = self.paths[id(module)]
        key = f"{path}.{name}" if path else name
        self.reader.tensors[key] = buffer.detach().clone()
        return Stored(key)

    def _ties(self) -> Iterator[tuple[str, str]]:
        """Parameters that are one tensor in two modules, with the first of their paths."""
        first: dict[int, str] = {}
        for path, module in self.model.named_modules():
            for name, weight in module._parameters.items():
                if weight is not None:
                    here = f"{path}.{name}" if path else name
                    if first.setdefault(id(weight), here) != here:
                        yield here, first[id(weight)]

    # Attributes

    def _attributes(self, module: nn.Module, unit: Unit) -> None:
        """The plain attributes that functions read, or that a shell needs."""
        if unit.grade == "graph" and unit.functions:
            for place, name in self.reader.types[id(module)].reads:
                self._read(module, unit, place, name)
            for name in self._used.get(id(module), ()):
                self._read(module, unit, Place(), name)
        elif unit.grade == "graph" and _is_plain(module):
            for name in self._used.get(id(module), ()):
                self._set(module, unit, name, vars(module)[name])
            unit.edits = [("", name, value) for name, value in unit.attributes.items()]
            unit.attributes = {}
        elif unit.grade == "shell":
            for name, value in vars(module).items():
                if name not in OWN:
                    self._set(module, unit, name, value)

    def _read(self, module: nn.Module, unit: Unit, place: Place, name: str) -> None:
        """Note an attribute at the unit it belongs to, unless its constructor sets it."""
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
        self._set(owner, unit, name, getattr(owner, name))

    def _set(self, module: nn.Module, unit: Unit, name: str, value: Any) -> None:
        try:
            unit.attributes[name] = self._default(module, value) or self.literals.of(value)
        except GraphError as error:
            self._say(module, f"Its attribute {name!r} cannot be written down. {error}")

    def _default(self, module: nn.Module, value: Any) -> Call | None:
        """A lambda that is a default of the constructor, which is the one way to get at it."""
        if getattr(value, "__name__", "") != "<lambda>":
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

    # Construction

    def _construction(self, module: nn.Module, unit: Unit) -> None:
        """How a unit was constructed, checked by doing it again."""
        if unit.grade == "open" or (unit.grade == "graph" and _is_plain(module)):
            return
        record = record_of(module)
        if record is None and unit.grade == "basic":
            record = from_attributes(module)
        unit.call = self._call(module, record)
        unit.starts = [*starts(record_of(module), self._places, self.literals)]
        self._hooks(module, unit)
        self._called_values(module, unit)
        if unit.call is None or record is None or self._takes_from_outside(module, record):
            unit.changed = unit.changed or unit.grade != "basic" or unit.call is None
        elif not unit.hooked and (unit.grade == "basic" or not self._holds_choices(module)):
            self._check(module, unit, record)

    def _takes_from_outside(self, module: nn.Module, record: Record) -> bool:
        """Whether a constructor was given a module that stands elsewhere in the model too: its
        call alone would make another one."""
        path = self.paths[id(module)]
        prefix = f"{path}." if path else ""
        given = (self.paths.get(id(inner)) for inner in _modules_in((record.args, record.kwargs)))
        return any(other is not None and not other.startswith(prefix) for other in given)

    def _hooks(self, module: nn.Module, unit: Unit) -> None:
        """What was applied to a module behind its constructor."""
        try:
            unit.hooked = hooked(module, self.literals)
        except GraphError as error:
            self._say(module, f"A parametrization of it cannot be written down. {error}")
        if other_hooks(module):
            self._say(module, "Its forward hooks are not part of the graph.")

    def _called_values(self, module: nn.Module, unit: Unit) -> None:
        """What is a value of runner.nn in the model, to be called, is a plain one once written."""
        names = called_values(module)
        if unit.grade == "graph" and names:
            unit.changed = True
            return
        for name in names:
            if callable(vars(module)[name]):
                self._say(
                    module,
                    f"Its forward is kept, and calls self.{name}(), which will be a plain value in "
                    f"what is generated. Use self.{name} as it is.",
                )

    def _say(self, module: nn.Module, text: str) -> None:
        path = self.paths[id(module)]
        self.notes.setdefault(f"{path}: {text}", Note(path, type(module).__qualname__, text))

    def _call(self, module: nn.Module, record: Record | None) -> Call | None:
        if record is None:
            return None
        cls = plain_class(module)
        names = dict([*inspect.signature(cls.__init__).parameters.items()][1:])
        record = bound(record, names)
        try:
            return None if record is None else self.literals.call(cls, record.args, record.kwargs)
        except GraphError as error:
            if self.reader.is_opaque(module) and id(module) in self.paths:
                self._say(module, f"Its constructor call cannot be written down. {error}")
            return None

    def _check(self, module: nn.Module, unit: Unit, record: Record) -> None:
        assert unit.call is not None
        edits = self.rebuilder.edits(module, record, _key(unit.call))
        if edits is None:
            unit.changed = unit.grade != "basic"
            return
        try:
            unit.edits = [(path, name, self.literals.of(value)) for path, name, value in edits]
        except GraphError:
            unit.changed = True

    def _holds_choices(self, module: nn.Module) -> bool:
        """Whether something in a module is open, so that its constructor cannot make it alone."""
        if id(module) not in self._open:
            record = record_of(module)
            self._open[id(module)] = (
                (record is not None and is_open((record.args, record.kwargs)))
                or is_choice(type(module))
                or any(map(is_open, vars(module).values()))
                or any(self._holds_choices(child) for child in module.children())
            )
        return self._open[id(module)]

    def _argument(self, module: nn.Module) -> Argument:
        """The unit of a module that was given to a constructor."""
        if id(module) in self.made:
            return self.made[id(module)]
        record = record_of(module)
        call = self._call(module, record)
        if call is None:
            raise GraphError(f"How a {type(module).__name__} was constructed is not known.")
        return Unit("basic", self._class(module), call)


def _modules_in(argument: Any) -> Iterator[nn.Module]:
    """The modules among arguments, however deep in containers."""
    if isinstance(argument, nn.Module):
        yield argument
    elif isinstance(argument, tuple | list):
        for item in argument:
            yield from _modules_in(item)
    elif isinstance(argument, dict):
        yield from _modules_in([*argument.values()])


def _keeps_forward(module: nn.Module) -> bool:
    """Whether a container has no forward of its own."""
    if not isinstance(module, CONTAINERS):
        return False
    return type(module).forward in (nn.Sequential.forward, nn.Module.forward)


def _is_plain(module: nn.Module) -> bool:
    return type(module) in CONTAINERS


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _filled(tensor: Tensor) -> Call | None:
    """A call for a tensor that is the same number everywhere."""
    if tensor.numel() <= 1 or tensor.is_meta or tensor.is_complex():
        return None
    first = tensor.flatten()[0]
    if not bool((tensor == first).all()):
        return None
    kwargs = {} if tensor.dtype == torch.float32 else {"dtype": Ref(f"torch:{_dtype(tensor)}")}
    number = first.item()
    if number in (0, 1) and tensor.dtype != torch.bool:
        return Call("torch:ones" if number else "torch:zeros", (tuple(tensor.shape),), kwargs)
    return Call("torch:full", (tuple(tensor.shape), number), kwargs)


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


def _key(call: Call) -> Any:
    """Calls of one key are equal; one that is given modules is equal to none."""
    arguments = (*call.args, *call.kwargs.values())
    plain = not any(isinstance(a, Unit) for a in arguments)
    return repr(call) if plain and "Unit" not in repr(call) else call


def from_attributes(module: nn.Module) -> Record | None:
    """A constructor call told by attributes of the names of its arguments; None without them."""
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
    return Record((), kwargs)
