"""Compiles the types of all modules of a model with TorchScript.

TorchScript compiles types of modules, not modules. A `TypeCompiler` replaces its store of types
while a model is compiled: each type is compiled once, children first, so that one that cannot be
compiled costs only itself. Its parent sees a module that is opaque, or does not compile, as a stub
with the same signature. No script module is made, and no weight is touched.
"""

import functools
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import nn
from torch.jit import _recursive

from runner.errors import GraphError
from runner.graph.class_source.bytecode_names import called_names
from runner.graph.class_source.called_values import called_values
from runner.graph.frontend.reading.opaque import is_choice, is_opaque_class
from runner.graph.frontend.torchscript.choice_stubs import stand_in, symbolic_stub
from runner.graph.frontend.torchscript.compilation.sanitize import sanitize
from runner.graph.frontend.torchscript.desugar.hook import Desugaring
from runner.graph.frontend.torchscript.diagnostics import problem_of
from runner.graph.frontend.torchscript.isolation import CompiledFunctions
from runner.graph.frontend.torchscript.module_type import CompiledType, container_methods
from runner.graph.frontend.torchscript.stubs import Stubs, original
from runner.nn.values.build import is_scripted
from runner.nn.values.expression import is_symbolic

recursive: Any = _recursive  # has no types
_QUIET = ("`torch.jit", "'.*' was found in ScriptModule constants")


@final
@dataclass(frozen=True, eq=False)
class CompiledModel:
    """A model, the compiled types of its modules by their ids, and the functions these call."""

    model: nn.Module
    types: dict[int, CompiledType]
    functions: CompiledFunctions


@contextmanager
def compiled(model: nn.Module) -> Iterator[CompiledModel]:
    """Compiles the types of all modules of a model.

    Until the end of the block, TorchScript is isolated from earlier compilations, and stubs
    replace the classes of some modules; on exit, all is restored.
    """
    functions = CompiledFunctions()
    with ExitStack() as restore, warnings.catch_warnings():
        for text in _QUIET:
            warnings.filterwarnings("ignore", message=text)
        functions.install(restore)
        desugaring = Desugaring(functions)
        desugaring.install(restore)
        compiler = TypeCompiler(desugaring, restore)
        restore.callback(setattr, recursive, "concrete_type_store", recursive.concrete_type_store)
        recursive.concrete_type_store = compiler
        for module in model.modules():
            symbolic = frozenset(k for k, v in vars(module).items() if is_symbolic(v))
            desugaring.symbolic[id(module)] = symbolic
            sanitize(module, restore, opaque=is_opaque_class(type(module)))
        for module in model.modules():
            compiler.compile(module)
        yield CompiledModel(model, compiler.types, functions)


@final
class TypeCompiler:
    """The types of the modules of one model; replaces TorchScript's `ConcreteTypeStore`."""

    def __init__(self, desugaring: Desugaring, restore: ExitStack) -> None:
        self.types: dict[int, CompiledType] = {}  # by id of module
        self.type_store: dict[type, list[Any]] = {}  # read by TorchScript, as the next one
        self.methods_compiled: set[Any] = set()
        self._desugaring = desugaring
        self._restore = restore
        self._by_class: dict[type, list[CompiledType]] = {}
        self._stubs = Stubs()
        self._called_names = functools.cache(called_names)

    def compile(self, module: nn.Module) -> None:
        """Compiles the type of a module, unless it is known."""
        try:
            self.get_or_create_concrete_type(module)
        except Exception as error:  # whatever TorchScript raises, for a stub too
            self.types[id(module)] = CompiledType(None, problem=problem_of(error), stubbed=True)

    def get_or_create_concrete_type(self, module: nn.Module) -> Any:
        """Returns the compiled type of a module; TorchScript asks for it when it meets one."""
        found = self.types.get(id(module))
        if found is None:
            found = self.types[id(module)] = self._type(module)
        if found.concrete is None:
            raise GraphError(found.problem)
        return found.concrete

    def _type(self, module: nn.Module) -> CompiledType:
        if is_scripted(type(module)):
            own: Any = module
            return CompiledType(own._concrete_type, own._c, stubbed=True)
        opaque = is_opaque_class(original(module))
        stub = self._stub_for(module) if opaque else None
        if stub is not None:
            self._swap(module, stub)
            return self._compiled(module)
        found = self._attempt(module)
        if found.problem and self._replace_called_values(module):
            found = self._attempt(module)
        return self._failed(module, "" if opaque else found.problem) if found.problem else found

    def _attempt(self, module: nn.Module) -> CompiledType:
        """Returns the compiled type of a module, or one with the problem that prevents that."""
        try:
            return self._compiled(module)
        except Exception as error:  # TorchScript may raise anything
            return CompiledType(None, problem=problem_of(error))

    def _failed(self, module: nn.Module, problem: str) -> CompiledType:
        """Returns the type of a stub for a module that does not compile."""
        self._swap(module, self._stubs.hidden(original(module)))
        try:
            found = self._compiled(module)
        except Exception:
            return CompiledType(None, problem=problem, stubbed=True)
        return CompiledType(found.concrete, found.methods, problem, stubbed=True)

    def _compiled(self, module: nn.Module) -> CompiledType:
        """Returns the type of a module as it is now: a known one, or a new one."""
        builder = recursive.infer_concrete_type_builder(module)
        known = self._by_class.setdefault(type(module), [])
        if "forward" in vars(module):
            known = []  # its type says nothing of other modules of its class
        for other in known:
            if other.concrete.equals(builder) and other.fits(module):
                if other.problem:
                    raise GraphError(other.problem)
                return other
        concrete = builder.build()
        found = CompiledType(concrete, torch._C._create_module_with_type(concrete.jit_type))
        found.stubbed = original(module) is not type(module)
        known.append(found)
        try:
            with self._desugaring.of(module, found.assumptions):
                _compile_methods(module, found)
        except Exception as error:
            found.problem = problem_of(error, map(original, module.modules()))
            raise GraphError(found.problem) from error
        return found

    def _stub_for(self, module: nn.Module) -> type[nn.Module] | None:
        """Returns the stub of an opaque module; None if TorchScript has to infer its types."""
        cls: Any = original(module)
        if is_choice(cls):
            return symbolic_stub(module, self._stubs)
        if self._stubs.tells_its_types(cls) or not cls.__module__.startswith("torch.nn."):
            return self._stubs.stub_of(cls)
        # the forward of a pool has no return type, and returns a tensor unless told otherwise
        returns_tensor = getattr(module, "return_indices", None) is False
        return self._stubs.stub_of(cls) if returns_tensor else None

    def _swap(self, module: nn.Module, cls: type[nn.Module]) -> None:
        """Replaces the class of a module until it is restored."""
        if original(module) is type(module):
            self._restore.callback(setattr, module, "__class__", type(module))
        module.__class__ = cls

    def _replace_called_values(self, module: nn.Module) -> bool:
        """Replaces attributes that hold a value and that the forward calls, by modules; returns
        whether there are any."""
        own = module.__dict__
        values = called_values(module, self._called_names)
        for name in values:
            value = own.pop(name)
            module._modules[name] = stand_in(name, value)
            self._restore.callback(own.__setitem__, name, value)
            self._restore.callback(module._modules.pop, name)
        return bool(values)


def _compile_methods(module: nn.Module, found: CompiledType) -> None:
    properties: list[Any] = []
    if found.stubbed:
        methods = [recursive.make_stub_from_method(module, name) for name in dir(module)]
    else:
        methods = recursive.infer_methods_to_compile(module)
        properties = recursive.get_property_stubs(module)
    recursive.create_methods_and_properties_from_stubs(found.concrete, methods, properties)
    for source in container_methods(module):
        found.methods._define(found.concrete, source, lambda name: None)
