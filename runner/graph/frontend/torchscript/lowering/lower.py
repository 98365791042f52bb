"""Lowers the compiled methods of a model, and the functions they call, to functions of the IR."""

import functools
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, final

from torch import Tensor, nn

from runner.errors import GraphError
from runner.graph.frontend.literals.literal import Literals
from runner.graph.frontend.reading.opaque import is_opaque_class
from runner.graph.frontend.reading.read_module import ModulePath
from runner.graph.frontend.torchscript.compilation.compile import CompiledModel
from runner.graph.frontend.torchscript.declarations import parameters
from runner.graph.frontend.torchscript.diagnostics import problem_of
from runner.graph.frontend.torchscript.lowering import (
    calls,
    containers,
    control_flow,
    indexing,
    operator_rules,
    values,
)
from runner.graph.frontend.torchscript.lowering.context import Lowering, rules_in
from runner.graph.frontend.torchscript.module_type import CompiledType, LoweredType
from runner.graph.frontend.torchscript.schema import (
    Formal,
    demangled,
    plain_name,
    python_name,
    resolve,
)  # fmt: skip
from runner.graph.frontend.torchscript.scope import MethodScope
from runner.graph.frontend.torchscript.stubs import keyword_only, original
from runner.graph.ir.dead_code import eliminate_dead_code
from runner.graph.ir.function import Function

RULES = rules_in(values, containers, indexing, operator_rules, calls, control_flow)


def lower(
    compiled: CompiledModel, functions: dict[str, Function], tensors: dict[str, Tensor]
) -> dict[int, LoweredType]:
    """Lowers the `forward` of each compiled module, and everything it calls. Returns the lowered
    types by the ids of modules; adds the functions and constant tensors they use."""
    by_type = {c: LoweredType(c, c.problem) for c in compiled.types.values()}
    types = {i: by_type[c] for i, c in compiled.types.items()}
    methods = _MethodLowering(compiled, types, functions, Literals(_refuse_module, tensors))
    for module in compiled.model.modules():
        if not _is_opaque(module) and not hasattr(module, "replaced_attribute"):
            found = compiled.types[id(module)]
            if not found.stubbed and found.has("forward"):
                methods.pending.append((module, "forward"))
    while methods.pending:
        methods.lower(*methods.pending.pop())
    _name_overloads([*by_type.values()])
    return types


def _is_opaque(module: nn.Module) -> bool:
    return is_opaque_class(original(module))


@final
class _MethodLowering:
    """The lowering of methods, and of those they call, each once; the view of the model for
    `MethodScope`."""

    def __init__(
        self,
        compiled: CompiledModel,
        types: dict[int, LoweredType],
        functions: dict[str, Function],
        literals: Literals,
    ) -> None:
        self.types = types
        self.compiled = compiled.functions
        self.literals = literals
        self.pending: list[tuple[nn.Module, str]] = []
        self._functions = functions
        self._keyword_only = functools.cache(keyword_only)
        self._names: dict[str, str] = {}  # qualified name of a script function -> its name here

    def lower(self, module: nn.Module, method: str) -> None:
        """Lowers a method, unless it is known; on failure, sets the `problem` of its type."""
        found = self.types[id(module)]
        if method in found.functions or found.problem:
            return
        compiled = found.compiled.methods._get_method(method)
        python = getattr(original(module), plain_name(method), None)
        formals = parameters(compiled.schema.arguments[1:], python, self.literals)
        function = found.functions[method] = Function(python_name(method), formals)
        try:
            scope = MethodScope(self, module, found)
            _lower_graph(compiled.graph, function, scope, method=True)
        except GraphError as error:
            found.problem = problem_of(error)

    def called(self, module: nn.Module, method: str) -> Sequence[Formal]:
        """Returns the parameters of a method that is called, and has it lowered."""
        found = self.types[id(module)]
        if not found.compiled.stubbed and not _is_opaque(module) and method not in found.functions:
            self.pending.append((module, method))
        named = self.keyword_only(getattr(original(module), plain_name(method), None))
        formals = found.compiled.schema(method)
        return [replace(f, by_name=True) if f.name in named else f for f in formals]

    def keyword_only(self, function: Any) -> frozenset[str]:
        """Returns the names of keyword-only parameters of a Python function."""
        return self._keyword_only(function)

    def own_function(self, qualname: str, compiled: Any) -> str:
        """Returns the name of a function of the graph's own, lowered when it is first met."""
        name = self._names.get(qualname)
        if name is None:
            last = demangled(qualname).rpartition(".")[2]
            name = re.sub(r"\W", "", plain_name(last)) or "function"
            while name in self._functions:
                name += "_"
            self._names[qualname] = name
            python = self.compiled.python(qualname) or resolve(plain_name(demangled(qualname)))
            formals = parameters(compiled.schema.arguments, python, self.literals, method=False)
            function = self._functions[name] = Function(name, formals)
            try:
                scope = MethodScope(self, None, LoweredType(CompiledType(None)))
                _lower_graph(compiled.graph, function, scope, method=False)
            except GraphError:
                del self._functions[name], self._names[qualname]
                raise
        return name


def _lower_graph(graph: Any, function: Function, scope: MethodScope, *, method: bool) -> None:
    """Fills an empty function with the nodes of a graph, whose first input is the module itself
    if it is a method. Raises GraphError for a node that has no form in Python."""
    ctx = Lowering(graph, function, scope, RULES)
    inputs = [*graph.inputs()]
    if method:
        ctx.bind(inputs.pop(0), ModulePath())
    for v, argument in zip(inputs, function.inputs, strict=True):
        ctx.bind(v, argument)
    ctx.nodes(graph.nodes())
    (result,) = [ctx.value(v, ctx.enum_of_merged(v)) for v in graph.outputs()]
    function.block.results = () if result is None else (result,)
    eliminate_dead_code(function.block)


def _name_overloads(types: list[LoweredType]) -> None:
    """Names overloads of a method like the method itself if only one of them is called."""
    for found in types:
        plain = [plain_name(name) for name in found.functions]
        for name, function in found.functions.items():
            if plain.count(plain_name(name)) == 1:
                function.name = python_name(plain_name(name))
        found.functions = {function.name: function for function in found.functions.values()}
    for found in types:
        for node, callee, method in found.calls:
            names = {python_name(name) for name in callee.functions}
            name = plain_name(method)
            if callee.compiled.stubbed or name in names or not callee.functions:
                node.target = node.path if name == "forward" else f"{node.path}:{name}"


def _refuse_module(module: nn.Module) -> Any:
    raise GraphError(f"A {type(module).__name__} is not a constant.")
