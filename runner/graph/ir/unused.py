"""What nothing in a graph refers to: free functions that are not called, tensors that are not
read."""

from collections.abc import Iterator

from runner.graph.ir.argument import Argument, Stored, leaves_and_calls
from runner.graph.ir.graph import Graph
from runner.graph.ir.unit import Unit


def drop_unused_functions(graph: Graph) -> None:
    """Drops the free functions that no function of a unit calls, directly or indirectly."""
    used: set[str] = set()
    coming = [function for _, _, function in graph.methods()]
    while coming:
        for node in coming.pop().nodes:
            name = node.target[1:] if node.target[:1] == ":" else ""
            if node.op == "call_function" and name in graph.functions and name not in used:
                used.add(name)
                coming.append(graph.functions[name])
    graph.functions = {name: each for name, each in graph.functions.items() if name in used}


def drop_unused_tensors(graph: Graph) -> None:
    """Drops the tensors to which no argument refers."""
    arguments = [argument for _, unit in graph.units() for _, argument in unit.arguments()]
    functions = [*graph.functions.values(), *(function for _, _, function in graph.methods())]
    nodes = (node for function in functions for node in function.block.walk())
    arguments += [(node.args, {**node.kwargs}) for node in nodes]
    used = {*_stored(arguments, {unit for _, unit in graph.units()})}
    graph.tensors = {name: tensor for name, tensor in graph.tensors.items() if name in used}


def _stored(argument: Argument, seen: set[Unit]) -> Iterator[str]:
    """Yields the names of tensors in an argument, also in units that only a call holds; `seen` are
    the others."""
    for leaf in leaves_and_calls(argument):
        if type(leaf) is Stored:
            yield leaf.name
        elif type(leaf) is Unit and leaf not in seen:
            seen.add(leaf)
            for _, inner in leaf.walk():
                yield from _stored([given for _, given in inner.arguments()], seen)
