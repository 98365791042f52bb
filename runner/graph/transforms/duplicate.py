"""Duplicates a unit, with its initialization."""

from runner.graph.ir.argument import Argument
from runner.graph.ir.graph import Graph, moved_ties
from runner.graph.ir.node import Node
from runner.graph.ir.unit import Start, Unit
from runner.graph.transforms.call_sites import parent_of


def duplicate_unit(graph: Graph, path: str, name: str) -> Unit:
    """Inserts a copy of a unit after it, under another name, and returns the copy.

    References by ancestors are duplicated: calls that initialize its weights, and edits of its
    attributes. A parameter that is tied to one outside is tied in the copy, too. No code calls the
    copy yet.
    """
    unit = graph.unit(path)
    parent, _, old = parent_of(graph, path)
    copies: dict[Unit, Unit] = {}
    twin = unit.copy(copies)
    parent.set_child(name, twin)
    place_child_after(parent, old, name)
    for above in graph.above(path):
        _repeat_references(above, copies)
    inside = [tie for tie in graph.tied if tie[0][0] in copies]
    graph.tied = [*graph.tied, *moved_ties(inside, copies)]
    return twin


def place_child_after(parent: Unit, before: str, name: str) -> None:
    """Moves a child directly after another one."""
    child = parent.children.pop(name)
    items = [*parent.children.items()]
    parent.children.clear()
    for key, unit in items:
        parent.children[key] = unit
        if key == before:
            parent.children[name] = child
    parent.changed = True


def _repeat_references(above: Unit, copies: dict[Unit, Unit]) -> None:
    """Duplicates the starts and edits of an ancestor that refer to units which were copied."""
    starts: list[Start] = []
    for start in above.starts:  # each directly after the original
        starts += [start, start.moved(copies)] if start.unit in copies else [start]
    above.starts = starts
    above.edits += [edit.moved(copies) for edit in above.edits if edit.unit in copies]


def duplicate_call(node: Node, path: str, given: Argument) -> Node:
    """Inserts a copy of a call after it, of another unit and with another first argument; returns
    it."""
    args, kwargs = (given, *node.args[1:]), {**node.kwargs}
    if not node.args:
        args, kwargs = (), {**kwargs, next(iter(kwargs)): given}
    twin = Node(node.block, "call_module", path, args, kwargs, node.line)
    twin.add_output(node.output.name)
    node.block.nodes.insert(node.block.nodes.index(node) + 1, twin)
    return twin
