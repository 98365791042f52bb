"""Repeats a unit: a copy beside it, with all that the model does to the first one."""

from runner.graph.ir.argument import Argument
from runner.graph.ir.graph import Graph, moved_ties
from runner.graph.ir.node import Node
from runner.graph.ir.unit import Start, Unit
from runner.graph.transforms.call_sites import parent_of


def repeat(graph: Graph, path: str, name: str) -> Unit:
    """Put a copy of a unit behind it, under another name; gives the copy.

    It starts as the first one does: calls of units above that fill its weights, and attributes they
    set, are repeated. A parameter tied to one outside is so in the copy. No code calls it yet.
    """
    unit = graph.unit(path)
    parent, _, old = parent_of(graph, path)
    copies: dict[Unit, Unit] = {}
    twin = unit.copy(copies)
    parent.set_child(name, twin)
    order_children(parent, old, name)
    for above in graph.above(path):
        _repeat_references(above, copies)
    inside = [tie for tie in graph.tied if tie[0][0] in copies]
    graph.tied = [*graph.tied, *moved_ties(inside, copies)]
    return twin


def order_children(parent: Unit, before: str, name: str) -> None:
    """Put a child right behind another one."""
    child = parent.children.pop(name)
    items = [*parent.children.items()]
    parent.children.clear()
    for key, unit in items:
        parent.children[key] = unit
        if key == before:
            parent.children[name] = child
    parent.changed = True


def _repeat_references(above: Unit, copies: dict[Unit, Unit]) -> None:
    """Do to copies what a unit above does to the units they are copies of."""
    starts: list[Start] = []
    for start in above.starts:  # each right after that of the original
        starts += [start, start.moved(copies)] if start.unit in copies else [start]
    above.starts = starts
    above.edits += [edit.moved(copies) for edit in above.edits if edit.unit in copies]


def repeat_call(node: Node, path: str, given: Argument) -> Node:
    """A copy of a call, right behind it, of another unit, and with another first argument."""
    args, kwargs = (given, *node.args[1:]), {**node.kwargs}
    if not node.args:
        args, kwargs = (), {**kwargs, next(iter(kwargs)): given}
    twin = Node(node.block, "call_module", path, args, kwargs, node.line)
    twin.add_output(node.output.name)
    node.block.nodes.insert(node.block.nodes.index(node) + 1, twin)
    return twin
