"""Loops over modules: writes runs of equal segments as loops over the children of containers.

The loops take items from containers as those over sequences do: see `iteration.py`.
"""

import builtins
from collections.abc import Iterator, Mapping, Sequence
from typing import final

from runner.graph.codegen.control_flow.module_runs import (
    BEFORE,
    OTHER,
    Segments,
    counts,
    find_run,
)
from runner.graph.codegen.expressions.expression_trees import key_of
from runner.graph.ir.containers import IteratedContainer
from runner.graph.ir.function import Function
from runner.graph.ir.node import Argument, Block, Node, Op, Value
from runner.nested import rebuild


def roll_loops(function: Function, containers: Sequence[IteratedContainer]) -> Function:
    """Returns a function with loops over containers in place of equal calls of their children: a
    copy, or the function itself if there are none."""
    if not containers:
        return function
    copy = function.clone()
    by_path = {container.path: container for container in containers}
    inner_first = sorted(containers, key=lambda one: -one.path.count(".") - bool(one.path))
    found = [_roll(copy.block, container, by_path) for container in inner_first]
    return copy if any(found) else function


def _roll(
    block: Block, container: IteratedContainer, containers: Mapping[str, IteratedContainer]
) -> bool:
    """Writes the runs over one container as loops; returns whether there are any."""
    found = False
    for inner in [inner for node in block.nodes for inner in node.blocks]:
        found |= _roll(inner, container, containers)
    while (run := find_run(block, container, containers)) is not None:
        if not _is_shorter(run):
            return found
        _ModuleLoop(block, run).write()
        found = True
    return found


def _is_shorter(run: Segments) -> bool:
    """Returns whether a loop has fewer lines than its segments."""
    lines = sum(map(_lines, run.parts[0]))
    copies = sum(type(first) is not Value for _, first in run.carried)
    return 1 + max(lines, 1) + copies < len(run.parts) * max(lines, 1)


def _lines(node: Node) -> int:
    """Returns about how many lines a node is written as: none if its user contains it."""
    inside = sum(_lines(inner) for block in node.blocks for inner in block.nodes[:-1])
    is_statement = node.blocks or not any(value.users for value in node.outputs)
    return inside + bool(is_statement or any(value.name for value in node.outputs))


@final
class _ModuleLoop:
    """The loop that does the same as the segments of a run."""

    def __init__(self, block: Block, run: Segments) -> None:
        self._run = run
        self._block = block
        self._place = block.nodes.index(run.parts[0][0])
        self._loop = Node(block, "loop", "")
        self._body = self._loop.add_block()
        self._index = self._body.add_input()
        self._items: dict[str, Value] = {}  # by the path of the container
        self._replaced: dict[Value, Value] = {}
        self._inner = [self._body.add_input(run.value(0, j).name) for j, _ in run.carried]

    def write(self) -> None:
        """Replaces the segments."""
        run, (first, *later) = self._run, self._run.parts
        self._make_head()
        slots = zip(*run.slots, strict=True)
        self._body.adopt(first, -1)
        for node in [inner for each in first for inner in each.walk()]:
            self._change(node, slots)
        results = [run.value(0, j) for j, _ in run.carried]
        self._body.results = (True, *(self._replaced.get(value, value) for value in results))
        for j, _ in run.carried:
            last = run.value(len(later), j)
            last.replace_all_uses_with(self._loop.add_output(last.name))
        for node in reversed([node for part in later for node in part]):
            node.erase()

    def _insert(self, op: Op, target: str, *args: Argument) -> Value:
        """Inserts a node before the loop; returns its output."""
        node = Node(self._block, op, target, args)
        self._block.nodes.insert(self._place, node)
        self._place += 1
        return node.add_output()

    def _make_head(self) -> None:
        """Inserts the loop, and what it iterates over; its body begins with the items."""
        lengths = []
        for container in self._run.containers.values():
            over = self._insert("get_attr", container.path)
            if container.is_dict:
                values = self._insert("call_method", "values", over)
                over = self._insert("call_function", "builtins:list", values)
            lengths.append(self._insert("call_function", "builtins:len", over))
            item = Node(self._body, "call_function", "operator:getitem", (over, self._index))
            self._body.nodes.insert(-1, item)
            self._items[container.path] = item.add_output(singular(container.path))
        trips = lengths[0]
        if len(lengths) > 1:
            trips = self._insert("call_function", "builtins:min", lengths)
        self._loop.args = (trips, True, *(first for _, first in self._run.carried))
        self._block.nodes.insert(self._place, self._loop)

    def _change(self, node: Node, slots: Iterator[tuple[tuple[str, Argument], ...]]) -> None:
        """Makes a node of the first segment that of any."""
        next(slots)  # its form
        paths: list[tuple[str, ...]] = []
        if node.op in ("call_module", "get_attr"):
            paths = [path for _, path in next(slots)]
        given = (node.args, {**node.kwargs})
        node.args, node.kwargs = rebuild(given, lambda leaf: self._leaf(node, leaf, next(slots)))
        steps = enumerate(zip(*paths, strict=True))
        depth = next((depth for depth, names in steps if len({*names}) > 1), None)
        if depth is not None:
            self._take(node, ".".join(paths[0][:depth]), ".".join(paths[0][depth + 1 :]))

    def _leaf(
        self, node: Node, leaf: Argument, slots: tuple[tuple[str, Argument], ...]
    ) -> Argument:
        """Returns a leaf of an argument of any segment, given that of the first, and all slots."""
        (_, first), (kind, later) = slots[:2]
        if kind == BEFORE:
            keys = [(j, key_of(initial)) for j, initial in self._run.carried]
            return self._inner[keys.index((later, key_of(first)))]
        if kind == OTHER and counts([constant for _, constant in slots]):
            index = self._index
            return self._before(node, "operator:add", index, first) if first else index
        return leaf

    def _take(self, node: Node, path: str, inside: str) -> None:
        """Makes a node call or read the item of the loop, or what is inside it."""
        found = self._items[path]
        steps = [*dict(self._run.containers[path].inner)[inside]] if inside else []
        last = steps.pop() if steps and node.op == "get_attr" else None
        for target, key in steps:
            found = self._before(node, target, found, key)
        if node.op == "call_module":
            node.op, node.target = "call_method", node.target.partition(":")[2] or "__call__"
            node.args = (found, *node.args)
        elif last is not None:
            node.op, node.target, node.args = "call_function", last[0], (found, last[1])
        else:
            node.output.replace_all_uses_with(found)
            self._replaced[node.output] = found
            node.erase()

    def _before(self, node: Node, target: str, *args: Argument) -> Value:
        """Inserts a call of a function before a node of the body; returns its output."""
        made = Node(node.block, "call_function", target, args)
        node.block.nodes.insert(node.block.nodes.index(node), made)
        return made.add_output()


_PLURALS = (("ies", "y"), ("sses", "ss"), ("xes", "x"), ("ches", "ch"), ("shes", "sh"), ("s", ""))


def singular(path: str) -> str:
    """Returns the name of an item of the container at a path: `layer` of `layers`; `module` where
    the name is no obvious plural."""
    name = path.rpartition(".")[2]
    if not name.endswith(("ss", "us", "is", "as")):
        for ending, instead in _PLURALS:
            if name.endswith(ending):
                one = name.removesuffix(ending) + instead
                return one if one.isidentifier() and one not in vars(builtins) else "module"
    return "module"
