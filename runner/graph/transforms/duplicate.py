"""Repeats a unit: a copy beside it, with all that the model does to the first one."""

from runner.graph.ir.argument import Argument
from runner.graph.ir.graph import Graph
from runner.graph.ir.node import Node
from runner.graph.ir.unit import Start, Unit
from runner.graph.transforms.call_sites import parent_of


def repeat(graph: Graph, path: str, name: str) -> Unit:
    """Put a copy of a unit behind it, under another name; gives the copy.

    It starts as the first one does: calls of units above that fill its weights, and attributes they
    set, are repeated. A parameter tied to one outside is so in the copy. No code calls it yet.
    """
    unit = graph.unit(path)
    parent, above, old = parent_of(graph, path)
    copies: dict[Unit, Unit] = {}
    twin = unit.copy(copies)
    parent.set_child(name, twin)
    order_children(parent, old, name)
    place = ".".join(filter(None, (above, name)))
    here = graph.root
    for depth, step in enumerate(("", *path.split("."))[:-1]):
        here = here.children[step] if step else here  # type: ignore[assignment]
        inner = ".".join(path.split(".")[depth:])
        _repeat_starts(here, copies)
        _repeat_edits(here, inner, f"{inner.rpartition('.')[0]}.{name}".lstrip("."))
    graph.ties += [
        (_moved(one, path, place), _moved(other, path, place))
        for one, other in graph.ties
        if one.startswith(f"{path}.")
    ]
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


def _repeat_starts(above: Unit, copies: dict[Unit, Unit]) -> None:
    """Do to copies what a unit above does to the units they are copies of, right after it."""
    starts: list[Start] = []
    for start in above.starts:
        starts.append(start)
        if start.unit in copies:
            starts.append(start.moved(lambda unit: copies.get(unit, unit)))
    above.starts = starts


def _repeat_edits(above: Unit, inner: str, place: str) -> None:
    again = [
        (_moved(path, inner, place), name, value)
        for path, name, value in above.edits
        if path == inner or path.startswith(f"{inner}.")
    ]
    above.edits = [*above.edits, *again]


def _moved(path: str, old: str, new: str) -> str:
    is_inside = path == old or path.startswith(f"{old}.")
    return f"{new}{path[len(old) :]}" if is_inside else path


def repeat_call(node: Node, path: str, given: Argument) -> Node:
    """A copy of a call, right behind it, of another unit, and with another first argument."""
    args, kwargs = (given, *node.args[1:]), {**node.kwargs}
    if not node.args:
        args, kwargs = (), {**kwargs, next(iter(kwargs)): given}
    twin = Node(node.block, "call_module", path, args, kwargs, node.line)
    twin.add_output(node.output.name)
    node.block.nodes.insert(node.block.nodes.index(node) + 1, twin)
    return twin
