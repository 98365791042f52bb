"""Functions that are built by hand, in the forms that a front end of Python source gives them."""

from collections.abc import Callable, Sequence
from typing import Any

from programs.source import body

from runner.graph.ir.function import Function
from runner.graph.ir.graph import Graph
from runner.graph.ir.lint import lint
from runner.graph.ir.node import Argument, Parameter, Value
from runner.graph.ir.unit import Ref, Unit


def function(*names: str) -> tuple[Any, ...]:
    """A forward, and the values of its parameters."""
    f = Function("forward", [Parameter(name) for name in names])
    return (f, *f.inputs)


def written(f: Function) -> str:
    """The lines of a forward as generated."""
    root = Unit("graph", Ref("made.up:Net"))
    root.define(f)
    graph = Graph(root)
    lint(graph)
    return body(graph)


def named(value: Value, name: str) -> Value:
    value.name = name
    return value


def select(f: Function, condition: Argument, *results: Any, name: str = "") -> Value:
    """An If with one output. Results of its blocks are values, or functions that compute them."""
    node = f.create("if", "", (condition,), outputs=(name,))
    for result in results:
        with f.inserting_into(node.add_block()):
            node.blocks[-1].results = (result() if callable(result) else result,)
    return node.output


def branch(f: Function, condition: Argument, names: Sequence[str], *results: Any) -> list[Value]:
    """An If with several outputs, whose blocks compute nothing."""
    node = f.create("if", "", (condition,), outputs=names)
    for given in results:
        node.add_block().results = given
    return node.outputs


def for_each(
    f: Function,
    over: Value,
    carried: Sequence[Argument],
    names: Sequence[str],
    step: Callable[..., Sequence[Argument]],
) -> list[Value]:
    """A loop over a list of a value; `step(item, *carried)` gives the results of its body."""
    made = f.call_function("builtins:list", over)
    trips = f.call_function("builtins:len", made)
    loop = f.create("loop", "", (trips, True, *carried), outputs=names)
    block = loop.add_block()
    index = block.add_input()
    inside = [block.add_input(name) for name in names]
    with f.inserting_into(block):
        item = named(f.call_function("operator:getitem", made, index), "x")
        block.results = step(item, *inside)
    return loop.outputs
