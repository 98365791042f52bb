"""The front end: reads a model through TorchScript and gives its graph.

TorchScript compiles types of modules, not modules. A `Reader` stands in for its store of types
while it works: every type is compiled once, children first, so that what cannot be compiled costs
only itself. A module that is not to be read, or cannot be, is seen by its parent as a stub with
the same signature. No script module is made, and no weight is touched.
"""

import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any, final

import torch
from torch import nn
from torch.jit import _recursive

from runner.errors import GraphError
from runner.graph.frontend.literal import Literals
from runner.graph.frontend.torchscript.choice_stubs import (
    called_values,
    is_choice,
    open_stub,
    stand_in,
)
from runner.graph.frontend.torchscript.declarations import parameters
from runner.graph.frontend.torchscript.desugar.hook import Desugaring
from runner.graph.frontend.torchscript.diagnostics import problem_of
from runner.graph.frontend.torchscript.isolation import Compiled
from runner.graph.frontend.torchscript.lowering.lower import lower_graph
from runner.graph.frontend.torchscript.module_type import Type, container_methods, plainly_named
from runner.graph.frontend.torchscript.sanitize import prepare
from runner.graph.frontend.torchscript.schema import (
    Formal,
    demangled,
    plain_name,
    resolve,
    spoken,
)  # fmt: skip
from runner.graph.frontend.torchscript.scope import MethodScope
from runner.graph.frontend.torchscript.stubs import (
    hidden,
    keyword_only,
    stub_of,
    tells_its_types,
)
from runner.graph.ir.function import Function
from runner.nn.build import is_leaf
from runner.nn.expression import is_open
from runner.nn.layer import Placeholder

CONTAINERS = (
    nn.Sequential, nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict,
)  # fmt: skip
recursive: Any = _recursive  # has no types
_QUIET = ("`torch.jit", "'.*' was found in ScriptModule constants")


@final
class Reader:
    """Compiles and lowers the methods of all modules of a model."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.types: dict[int, Type] = {}  # by id of module
        self.functions: dict[str, Function] = {}  # of the graph's own
        self.tensors: dict[str, torch.Tensor] = {}
        self.classes: dict[int, type[nn.Module]] = {}  # of modules that are stubs meanwhile
        self.literals = Literals(_no_unit, self.tensors)
        self.type_store: dict[type, list[Any]] = {}  # looked into by TorchScript
        self.methods_compiled: set[Any] = set()
        self._known: dict[type, list[Type]] = {}
        self._queue: list[tuple[nn.Module, str]] = []
        self._names: dict[str, str] = {}  # qualified name of a script function -> its name here
        self._restore = ExitStack()
        self.compiled = Compiled()
        self.desugaring = Desugaring(self.compiled)

    # Before and after

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Prepare the model, and put everything back at the end."""
        store = recursive.concrete_type_store
        with ExitStack() as restore, warnings.catch_warnings():
            for text in _QUIET:
                warnings.filterwarnings("ignore", message=text)
            self._restore = restore
            self.compiled.install(restore)
            self.desugaring.install(restore)
            restore.callback(setattr, recursive, "concrete_type_store", store)
            recursive.concrete_type_store = self
            for module in self.model.modules():
                opened = frozenset(k for k, v in vars(module).items() if is_open(v))
                self.desugaring.open[id(module)] = opened
                prepare(module, restore, opaque=self.is_opaque(module))
            yield

    def class_of(self, module: nn.Module) -> type[nn.Module]:
        """The class of a module, also while it is a stub."""
        return self.classes.get(id(module), type(module))

    def _swap(self, module: nn.Module, cls: type[nn.Module]) -> None:
        if id(module) not in self.classes:
            self.classes[id(module)] = type(module)
            self._restore.callback(setattr, module, "__class__", type(module))
        module.__class__ = cls

    # Types

    def read(self) -> None:
        """Compile everything, then lower all methods that are called."""
        for module in self.model.modules():
            if id(module) not in self.types:
                self._safely(module)
        for module in self.model.modules():
            if not self.is_opaque(module) and not hasattr(module, "stands_for"):
                found = self.types[id(module)]
                if not found.stubbed and "forward" in found.methods._method_names():
                    self._queue.append((module, "forward"))
        while self._queue:
            self._lower(*self._queue.pop())
        self._name_overloads()

    def _safely(self, module: nn.Module) -> None:
        try:
            self.get_or_create_concrete_type(module)
        except Exception as error:  # whatever TorchScript raises, for a stub too
            self.types[id(module)] = Type(None, problem=problem_of(error), stubbed=True)

    def is_opaque(self, module: nn.Module) -> bool:
        """Whether a module is not to be looked into: a layer, a class with @basic_unit, or what
        TorchScript compiled before."""
        if isinstance(module, torch.jit.ScriptModule):
            return True
        cls = self.class_of(module)
        return is_choice(cls) or cls is Placeholder or is_leaf(cls)

    def get_or_create_concrete_type(self, module: nn.Module) -> Any:
        """The type of a module, compiled; TorchScript asks for it whenever it meets one."""
        found = self.types.get(id(module))
        if found is None:
            found = self.types[id(module)] = self._type(module)
        if found.concrete is None:
            raise GraphError(found.problem)
        return found.concrete

    def _type(self, module: nn.Module) -> Type:
        if isinstance(module, torch.jit.ScriptModule):
            own: Any = module
            return Type(own._concrete_type, own._c, stubbed=True)
        opaque = self.is_opaque(module)
        stub = self._stub_for(module) if opaque else None
        if stub is not None:
            self._swap(module, stub)
            return self._compiled(module)
        found = self._attempt(module)
        if found.problem and self._callable_values(module):
            found = self._attempt(module)
        if found.problem:
            found = self._failed(module, "" if opaque else found.problem)
        return found

    def _attempt(self, module: nn.Module) -> Type:
        """The type of a module, compiled, or one that says what stands against that."""
        try:
            return self._compiled(module)
        except Exception as error:  # TorchScript raises what it likes
            return Type(None, problem=problem_of(error))

    def _failed(self, module: nn.Module, problem: str) -> Type:
        """The type of a stub for a module that could not be compiled."""
        self._swap(module, hidden(self.class_of(module)))
        try:
            found = self._compiled(module)
        except Exception:
            return Type(None, problem=problem, stubbed=True)
        return Type(found.concrete, found.methods, problem, stubbed=True)

    def _stub_for(self, module: nn.Module) -> type[nn.Module] | None:
        """The stub of an opaque module; None if TorchScript must find its types out."""
        cls = self.class_of(module)
        if is_choice(cls):
            return open_stub(module)
        if tells_its_types(cls) or not cls.__module__.startswith("torch.nn."):
            return stub_of(cls)
        plain = getattr(module, "return_indices", None) is False  # pools do not say what they give
        return stub_of(cls) if plain else None

    def _compiled(self, module: nn.Module) -> Type:
        """The type of a module, as it is now; one that is known, or a new one."""
        builder = recursive.infer_concrete_type_builder(module)
        known = self._known.setdefault(type(module), [])
        if "forward" in vars(module):
            known = []  # its type says nothing of the others of its class
        for other in known:
            if other.concrete.equals(builder) and other.decides(module):
                if other.problem:
                    raise GraphError(other.problem)
                return other
        concrete = builder.build()
        found = Type(concrete, torch._C._create_module_with_type(concrete.jit_type))
        found.stubbed = id(module) in self.classes
        known.append(found)
        try:
            self._compile(module, found)
        except Exception as error:
            found.problem = problem_of(error, map(self.class_of, module.modules()))
            raise GraphError(found.problem) from error
        return found

    def _compile(self, module: nn.Module, found: Type) -> None:
        with self.desugaring.of(module, found.relied):
            self._compile_methods(module, found)

    def _compile_methods(self, module: nn.Module, found: Type) -> None:
        properties: list[Any] = []
        if found.stubbed:
            methods = [recursive.make_stub_from_method(module, name) for name in dir(module)]
        else:
            methods = recursive.infer_methods_to_compile(module)
            properties = recursive.get_property_stubs(module)
        recursive.create_methods_and_properties_from_stubs(found.concrete, methods, properties)
        for source in container_methods(module):
            found.methods._define(found.concrete, source, lambda name: None)

    def _callable_values(self, module: nn.Module) -> bool:
        """Put stand-ins where a forward calls an attribute that is a value."""
        own = module.__dict__
        values = called_values(module)
        for name in values:
            value = own.pop(name)
            module._modules[name] = stand_in(name, value)
            self._restore.callback(own.__setitem__, name, value)
            self._restore.callback(module._modules.pop, name)
        return bool(values)

    # Methods

    def _lower(self, module: nn.Module, method: str) -> None:
        found = self.types[id(module)]
        if method in found.functions or found.problem:
            return
        compiled = found.methods._get_method(method)
        python = getattr(self.class_of(module), plain_name(method), None)
        target = Function(
            spoken(method), parameters(compiled.schema.arguments[1:], python, self.literals)
        )
        found.functions[method] = target
        try:
            lower_graph(compiled.graph, target, MethodScope(self, module, found), method=True)
        except GraphError as error:
            found.problem = problem_of(error)

    def called(self, module: nn.Module, method: str) -> Sequence[Formal]:
        """The arguments of a method that is called somewhere."""
        found = self.types[id(module)]
        if not found.stubbed and not self.is_opaque(module) and method not in found.functions:
            self._queue.append((module, method))
        named = keyword_only(getattr(self.class_of(module), plain_name(method), None))
        formals = found.schema(method)
        return [replace(f, by_name=True) if f.name in named else f for f in formals]

    def _name_overloads(self) -> None:
        """Give overloaded methods their plain name where only one variant of them is called."""
        known = {id(found): found for found in self.types.values()}
        for found in known.values():
            found.functions = plainly_named(found.functions)
        for found in known.values():
            for node, callee, method in found.calls:
                names = {spoken(name) for name in callee.functions}
                name = plain_name(method)
                if callee.stubbed or name in names or not callee.functions:
                    node.target = node.path if name == "forward" else f"{node.path}:{name}"

    def own_function(self, qualname: str, compiled: Any) -> str:
        """The name of a function of the graph's own, lowered when it is first met."""
        name = self._names.get(qualname)
        if name is None:
            last = demangled(qualname).rpartition(".")[2]
            name = re.sub(r"\W", "", plain_name(last)) or "function"
            while name in self.functions:
                name += "_"
            self._names[qualname] = name
            python = self.compiled.python(qualname) or resolve(plain_name(demangled(qualname)))
            schema = compiled.schema.arguments
            target = Function(name, parameters(schema, python, self.literals, method=False))
            self.functions[name] = target
            try:
                scope = MethodScope(self, None, Type(None))
                lower_graph(compiled.graph, target, scope, method=False)
            except GraphError:
                del self.functions[name], self._names[qualname]
                raise
        return name


def _no_unit(module: nn.Module) -> Any:
    raise GraphError(f"A {type(module).__name__} stands among constants.")
