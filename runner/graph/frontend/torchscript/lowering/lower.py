"""Lowers the TorchScript graph of a method or function."""

from typing import Any

from runner.graph.frontend.torchscript.lowering import (
    calls,
    containers,
    control_flow,
    indexing,
    operators,
    values,
)
from runner.graph.frontend.torchscript.lowering.context import Lowering, rules_in
from runner.graph.frontend.torchscript.module_type import ModulePath
from runner.graph.frontend.torchscript.scope import MethodScope
from runner.graph.ir.dead_code import eliminate_dead_code
from runner.graph.ir.function import Function

RULES = rules_in(values, containers, indexing, operators, calls, control_flow)


def lower_graph(graph: Any, function: Function, scope: MethodScope, *, method: bool) -> None:
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
