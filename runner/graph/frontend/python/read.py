"""Reads the methods of a model from their source, as functions of the IR."""

import inspect
import re
from collections.abc import Collection, Container, Mapping
from dataclasses import dataclass, field
from keyword import iskeyword
from operator import itemgetter
from types import FunctionType, MethodType
from typing import Any, final

from torch import Tensor, nn

from runner.errors import GraphError, one_line
from runner.graph.frontend.literals.literal import Literals
from runner.graph.frontend.python import (
    assignments,
    attributes,
    branches,
    calls,
    containers,
    loops,
    operators,
    statements,
)
from runner.graph.frontend.python.abstract import (
    Abstract,
    CallFrame,
    Items,
    Known,
    Missing,
    Named,
    closure_of,
)
from runner.graph.frontend.python.annotations import annotation, annotations_of, is_object
from runner.graph.frontend.python.evaluation import Evaluation, rules_in
from runner.graph.frontend.python.invocation import returned
from runner.graph.frontend.python.packages import Packages, is_standard
from runner.graph.frontend.python.source import (
    FunctionDefinition,
    FunctionSources,
    Restart,
    Unreadable,
    place,
    positional,
)
from runner.graph.frontend.python.unread_code import changed_elsewhere, shared
from runner.graph.frontend.python.wrappers import (
    ARGS,
    ITSELF,
    KWARGS,
    passing_on,
    rest_of,
    unwrapped,
)
from runner.graph.frontend.reading.module_values import at_path
from runner.graph.frontend.reading.opaque import is_opaque
from runner.graph.frontend.reading.read_module import ModulePath, ReadModule
from runner.graph.ir.dead_code import eliminate_dead_code
from runner.graph.ir.equality import alike
from runner.graph.ir.function import Function
from runner.graph.ir.node import Argument, Parameter, ParameterKind

RULES = rules_in(assignments, attributes, branches, calls, containers, loops, operators, statements)


Attribute = tuple[int, str]  # the id of its module, and its name


@final
@dataclass
class _Findings:
    """What the attempts to read a model have found."""

    dynamic: set[Attribute]  # attributes that are not constant
    shared: Mapping[Attribute, Collection[Attribute]]  # by those that hold the same list
    mutated: set[Attribute] = field(default_factory=set)  # of these, those changed in place
    problems: dict[int, str] = field(default_factory=dict)  # id of a module -> the first one


@final
class PythonFrontEnd:
    """The front end that reads Python's own source."""

    def read(
        self, model: nn.Module, functions: dict[str, Function], tensors: dict[str, Tensor]
    ) -> Mapping[int, ReadModule]:
        """See `FrontEnd.read`."""
        findings = _Findings({*changed_elsewhere(model, ())}, shared(model))
        sources = FunctionSources()
        before = {*functions}, {*tensors}
        while True:
            reading = _Reading(model, functions, tensors, sources, findings)
            try:
                for module in model.modules():
                    reading.read_forward(module)
                reading.check_constants(model)
                reading.check_shared(model)
                return reading.modules
            except Restart:
                for name in functions.keys() - before[0]:
                    del functions[name]
                for name in tensors.keys() - before[1]:
                    del tensors[name]


@final
class _Reading:
    """One attempt to read all modules, given the findings of those before."""

    def __init__(
        self,
        model: nn.Module,
        functions: dict[str, Function],
        tensors: dict[str, Tensor],
        sources: FunctionSources,
        findings: _Findings,
    ) -> None:
        self.modules = {id(m): ReadModule() for m in model.modules() if not is_opaque(m)}
        self.functions = functions
        self.literals = Literals(_refuse_module, tensors)
        self.sources = sources
        self.packages = Packages(model)
        self.findings = findings
        self.names: dict[Any, str] = {}  # function -> its name among those of the graph
        self.method_names: dict[tuple[int, Any], str] = {}  # that of a method in its unit
        self.problems: dict[tuple[int, Any], str] = {}  # of methods and functions
        self.paths: dict[int, dict[int, ModulePath]] = {}
        self._by_class: dict[tuple[Any, Any], list[Function]] = {}

    def read_forward(self, module: nn.Module) -> None:
        """Reads the forward of a module, and what it calls; on failure, sets its `problem`."""
        if id(module) not in self.modules:
            return
        function = _forward_of(module)
        if function is None:
            return
        try:
            self.method(module, "forward", function)
        except Unreadable as error:
            problem = self.findings.problems.setdefault(id(module), str(error))
            self.modules[id(module)].problem = problem

    def check_constants(self, model: nn.Module) -> None:
        """Raises Restart if the modules that could not be read may change attributes that were
        taken to be constant."""
        unread = {type(m) for m in model.modules() if _is_unread(self.modules.get(id(m)))}
        if not unread:
            return  # what other code may change was known before
        if more := {*changed_elsewhere(model, unread)} - self.findings.dynamic:
            self.findings.dynamic |= more
            raise Restart

    def check_shared(self, model: nn.Module) -> None:
        """Marks the innermost modules in which attributes hold one list that a method changes."""
        if not self.findings.mutated:
            return
        inside = {id(m): {*map(id, m.modules())} for m in model.modules()}
        for one in sorted(self.findings.mutated, key=itemgetter(1)):
            group = (one, *sorted(self.findings.shared[one], key=itemgetter(1)))
            around = [found for found in self.modules if inside[found] >= {at for at, _ in group}]
            module = self.modules[around[-1]]
            module.whole = (
                f"its attributes {one[1]!r} and {group[1][1]!r} are one object that changes"
            )
            module.problem = module.problem or module.whole

    def method(self, owner: nn.Module, name: str, function: Any) -> str:
        """Returns the name of a method among the functions of its unit, read when it is first
        met. Raises Unreadable if it cannot be read."""
        key = id(owner), function
        if key in self.problems:
            raise Unreadable(self.problems[key])
        member = _member(owner, name, function)
        if id(owner) not in self.modules:
            if member is None:
                raise Unreadable(f"a {type(owner).__name__} has no method that is {name}()")
            return member
        if key not in self.method_names:
            found = self.modules[id(owner)].functions
            name = member or _free_name(owner, function, found)
            self.method_names[key] = name
            made = found[name] = Function(name)
            try:
                found[name] = self._shared(
                    type(owner), function, self._function(made, function, owner)
                )
            except Exception as error:
                del found[name], self.method_names[key]
                self.problems[key] = _problem(error)
                raise Unreadable(self.problems[key]) from error
        return self.method_names[key]

    def function(self, function: FunctionType) -> str:
        """Returns the name of a function of the graph, read when it is first met."""
        key = 0, function
        if key in self.problems:
            raise Unreadable(self.problems[key])
        if function not in self.names:
            name = function.__name__
            if not name.isidentifier() or iskeyword(name):
                name = "function"
            while name in self.functions:
                name += "_"
            self.names[function] = name
            made = self.functions[name] = Function(name)
            try:
                self.functions[name] = self._function(made, function, None)
            except Exception as error:
                del self.functions[name], self.names[function]
                self.problems[key] = _problem(error)
                raise Unreadable(self.problems[key]) from error
        return self.names[function]

    def _shared(self, cls: type, function: Any, made: Function) -> Function:
        """Returns an equal function of another module of the class, if there is one."""
        known = self._by_class.setdefault((cls, function), [])
        for other in known:
            if alike(other, made):
                return other
        known.append(made)
        return made

    def _function(
        self, made: Function, function: FunctionType, owner: nn.Module | None
    ) -> Function:
        if is_standard(function):
            inner = self.sources.definition(inspect.unwrap(function))
            raise Unreadable(
                f"{place(inner.file, inner.node)}: it is wrapped by Python's own library"
            )
        is_method = owner is not None
        definition = self.sources.definition(function)
        wrapped = unwrapped(function, self.sources, method=is_method)
        signature = self.sources.definition(wrapped)
        around = _Around(self, owner)
        parameters = around.parameters(wrapped, signature, method=is_method)
        if any(parameter.name == "self" for parameter in parameters):
            raise Unreadable(f"{place(definition.file, definition.node)}: it takes a `self`")
        made = Function(made.name, parameters)
        env: dict[str, Abstract] = {
            p.name: value for p, value in zip(parameters, made.inputs, strict=True)
        }
        node = definition.node
        if wrapped is not function:
            node = passing_on(function, node, method=is_method)
        elif owner is not None:
            if not positional(node):
                raise Unreadable(f"{place(definition.file, node)}: it has no `self`")
            env[positional(node)[0]] = Known(owner)
        ev = Evaluation(made, around, CallFrame(closure_of(function, node, definition.file), env))
        if wrapped is not function:
            ev.frame.env = _of_wrapper(ev, definition, owner)
        branches.block(ev, FunctionDefinition(node, definition.file).body)
        value = returned(ev)
        result = ev.argument(value)
        ev.forget(value)
        made.block.results = () if result is None else (result,)
        eliminate_dead_code(made.block)
        around.finish()
        return made


def _of_wrapper(
    ev: Evaluation, definition: FunctionDefinition, owner: nn.Module | None
) -> dict[str, Abstract]:
    """Returns the variables of a wrapper that has the parameters of the function it wraps."""
    node, parameters = definition.node, ev.function.parameters
    if any(parameter.kind in ("*", "**") for parameter in parameters):
        raise ev.error("a wrapped function takes any number of arguments")
    inputs = [*zip(parameters, ev.function.inputs, strict=True)]
    args: list[Abstract] = [] if owner is None else [Known(owner)]
    args += [value for parameter, value in inputs if not parameter.kind]
    named = Named()
    ev.dicts[named] = {parameter.name: value for parameter, value in inputs if parameter.kind}
    why = "it looks at the arguments of a function that it wraps"
    names = positional(node)
    return {
        **dict.fromkeys(rest_of(node), Missing(why)),
        **dict(zip(names, args, strict=False)),
        ITSELF: Known(owner), ARGS: Items(tuple(args[len(names) :])), KWARGS: named,
    }  # fmt: skip


@final
class _Around:
    """The surroundings of one function that is read; `owner` is the module whose method it is."""

    rules = RULES
    call = staticmethod(calls.call)

    def __init__(self, reading: _Reading, owner: nn.Module | None) -> None:
        self._reading = reading
        self._owner = owner
        self.literals = reading.literals
        self.is_method = owner is not None
        self.objects: set[str] = set()
        self._reads: dict[tuple[ModulePath, str], None] = {}

    def finish(self) -> None:
        """Records the attributes that were read."""
        if self._owner is not None:
            self._reading.modules[id(self._owner)].reads |= self._reads

    def path(self, module: nn.Module) -> ModulePath | None:
        if self._owner is None:
            return None
        known = self._reading.paths.get(id(self._owner))
        if known is None:
            known = self._reading.paths[id(self._owner)] = {}
            for path, inner in self._owner.named_modules():
                known[id(inner)] = ModulePath(tuple(path.split("."))) if path else ModulePath()
        return known.get(id(module))

    def found(self, path: str) -> Any:
        return at_path(self._owner, path)

    def place_of(self, tensor: Tensor) -> tuple[ModulePath, str] | None:
        if self._owner is None:
            return None
        for module in self._owner.modules():
            for tensors in (module._parameters, module._buffers):
                for name, found in tensors.items():
                    path = self.path(module)
                    if found is tensor and path is not None:
                        return path, name
        return None

    def read(self, owner: nn.Module, name: str) -> None:
        path = self.path(owner)
        if path is not None and name not in owner._parameters and name not in owner._buffers:
            self._reads[path, name] = None

    def is_dynamic(self, owner: nn.Module, name: str) -> bool:
        return (id(owner), name) in self._reading.findings.dynamic

    def shares(self, owner: nn.Module, name: str) -> str | None:
        findings, one = self._reading.findings, (id(owner), name)
        others = findings.shared.get(one, ())
        if findings.mutated.isdisjoint([one, *others]):
            return None
        return min(other for _, other in others)

    def changes(self, owner: nn.Module, name: str, *, in_place: bool = False) -> None:
        findings, one = self._reading.findings, (id(owner), name)
        is_new = in_place and one in findings.shared and one not in findings.mutated
        if is_new:
            findings.mutated.add(one)
        if is_new or one not in findings.dynamic:
            findings.dynamic.add(one)
            raise Restart

    def changes_at(self, target: str) -> None:
        *names, name = target.split(".")
        assert self._owner is not None, "functions have no attributes"
        owner = self._owner.get_submodule(".".join(names))
        if (id(owner), name) in self._reading.findings.shared:
            self.changes(owner, name, in_place=True)

    def definition(self, function: Any) -> FunctionDefinition:
        if not isinstance(function, FunctionType):
            raise Unreadable(f"{function!r:.80} has no source")
        return self._reading.sources.definition(function)

    def is_own(self, function: Any) -> bool:
        return self._reading.packages.is_own(function)

    def method(self, owner: nn.Module, name: str, function: Any) -> str:
        if owner is not self._owner and _member(owner, name, function) is None:
            raise Unreadable(f"it calls {name}() of a base of another module")
        return self._reading.method(owner, name, function)

    def function(self, function: Any) -> str:
        return self._reading.function(function)

    def parameters(
        self, function: FunctionType, definition: FunctionDefinition, *, method: bool
    ) -> list[Parameter]:
        """Returns the parameters of a function without `self`."""
        declared = definition.node.args
        if declared.posonlyargs and declared.kwarg is not None:
            at = place(definition.file, definition.node)
            raise Unreadable(f"{at}: it takes any names besides parameters without a name")
        places = positional(definition.node)
        defaults = function.__defaults__ or ()
        known = dict(zip(places[len(places) - len(defaults) :], defaults, strict=True))
        known |= function.__kwdefaults__ or {}
        annotations = annotations_of(function)
        self.objects = {name for name, kind in annotations.items() if is_object(kind)}
        kinds: dict[str, ParameterKind] = dict.fromkeys(places[int(method) :], "")
        if declared.vararg is not None:
            kinds[declared.vararg.arg] = "*"
        kinds |= dict.fromkeys([each.arg for each in declared.kwonlyargs], "keyword")
        if declared.kwarg is not None:
            kinds[declared.kwarg.arg] = "**"
        return [
            Parameter(
                name,
                (self._default(known[name], definition),) if name in known else (),
                annotation(annotations.get(name, "")),
                kind,
            )
            for name, kind in kinds.items()
        ]

    def _default(self, value: Any, definition: FunctionDefinition) -> Argument:
        try:
            return self.literals.of(value)
        except GraphError as error:
            raise Unreadable(f"{place(definition.file, definition.node)}: {error}") from error


def _forward_of(module: nn.Module) -> Any:
    """Returns the function that is the forward of a module; None if it has none."""
    own = vars(module).get("forward")
    if own is not None:
        is_bound = isinstance(own, MethodType) and own.__self__ is module
        return own.__func__ if is_bound else None
    found = _function_of(getattr(type(module), "forward", None))
    missing = _function_of(nn.Module.forward)
    return None if found is missing else found


def _is_unread(found: ReadModule | None) -> bool:
    return found is not None and bool(found.problem)


def _function_of(member: Any) -> Any:
    return getattr(member, "__func__", member)


def _member(owner: nn.Module, name: str, function: Any) -> str | None:
    """Returns the name under which a module has a method, `name` if possible; None if there is
    none, as for those of a base that its class overrides."""
    if _forward_of(owner) is function:
        return "forward"
    names = (each for home in (owner, *type(owner).__mro__) for each in vars(home))
    return next((each for each in (name, *names) if _has(owner, each, function)), None)


def _has(owner: nn.Module, name: str, function: Any) -> bool:
    own = vars(owner).get(name)
    if own is not None:
        is_bound = isinstance(own, MethodType) and own.__self__ is owner
        return is_bound and own.__func__ is function
    return inspect.getattr_static(type(owner), name, None) is function


def _free_name(owner: nn.Module, function: Any, taken: Container[str]) -> str:
    """Returns a name for a method that a module has under none."""
    home = function.__qualname__.partition(".")[0]
    name = re.sub(r"\W", "", f"{function.__name__}_of_{home}")
    while name in taken or hasattr(type(owner), name) or name in vars(owner):
        name += "_"
    return name


def _problem(error: Exception) -> str:
    """Returns the problem of a function that cannot be read, whatever the error."""
    if isinstance(error, Restart):
        raise error
    return str(error) if isinstance(error, Unreadable) else one_line(error)


def _refuse_module(module: nn.Module) -> Any:
    raise GraphError(f"a {type(module).__name__} is not a constant")
