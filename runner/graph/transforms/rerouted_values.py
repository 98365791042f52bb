"""Finds values that a mutation rerouted: nodes that receive other values than before.

Nodes are identified across copies by their origin, the node they were copied from.
"""

from collections.abc import Iterator, Mapping
from typing import Any, final

from runner.graph.ir.function import Function
from runner.graph.ir.graph import Graph
from runner.graph.ir.node import Argument, Block, Node, Value, map_values, values_in

ValueKey = tuple[Any, ...]  # identifies a value in a function and all its copies


@final
class Rerouted:
    """A value that nodes receive instead of `old`, a value of the unmutated graph. The same value
    in the unmutated graph is `replacement`; None if it did not exist. `insert` adds a clone in
    between."""

    def __init__(self, path: str, function: Function, old: Value, new: Value) -> None:
        self.path = path
        self.function = function
        self.old = old
        self.new = new
        self.replacement: Value | None = None
        self.users: dict[Node, set[int]] = {}  # -> positions among the values of its arguments
        self.before: Node | None = None  # the first node executed after `old` was computed
        self.key = (path, function.name, *(f"{value.node}{value}" for value in (old, new)))

    @property
    def copy(self) -> Node:
        """The node that clones the value."""
        return self._copy

    def insert(self) -> None:
        """Inserts a clone where the old value was computed, and redirects the users to it."""
        before = self._place()
        with self.function.inserting_before(before):
            self._copy = self.function.create("call_method", "clone", (self.new,))
        for user, places in self.users.items():
            _give(user, places, self._copy.output)

    def erase(self) -> None:
        """Erases the clone, and redirects the users to the value itself."""
        self._copy.output.replace_all_uses_with(self.new)
        self.function.erase_node(self._copy)

    def _place(self) -> Node:
        """Returns the node before which the clone is inserted: as early as the old value was
        computed, but after the new one, and where it is visible to all users."""
        made = self.new.node
        owner: Block = self.new.owner if made is None else made.block
        first = owner.nodes[0 if made is None else owner.nodes.index(made) + 1]
        later = self.before
        if later is None or not all(user.is_in(later.block) for user in self.users):
            return first
        block = later.block
        if block is owner and block.nodes.index(first) > block.nodes.index(later):
            return first
        return later if later.is_in(owner) else first


def rerouted(base: Graph, mutated: Graph) -> list[Rerouted]:
    """Returns all values of a mutated graph that nodes receive instead of others."""
    known = {id(function) for _, _, function in base.methods()}
    changed = [one for one in mutated.methods() if id(one[2]) not in known]
    if not changed:
        return []
    nodes = {_root(node): node for _, _, f in base.methods() for node in f.block.walk()}
    return [one for path, _, function in changed for one in _in_function(path, function, nodes)]


def _in_function(path: str, function: Function, nodes: Mapping[Node, Node]) -> Iterator[Rerouted]:
    """Yields the rerouted values of a function; `nodes` are those of the unmutated graph by
    origin."""
    here = {_root(node): node for node in function.block.walk()}
    found: dict[tuple[ValueKey, Value], Rerouted] = {}
    for node in here.values():
        before = nodes.get(_root(node))
        if before is None:
            continue
        ours, theirs = values_of(node), values_of(before)
        if len(ours) != len(theirs):
            continue
        for place, (new, old) in enumerate(zip(ours, theirs, strict=True)):
            if _key(new) != _key(old):
                one = found.setdefault((_key(old), new), Rerouted(path, function, old, new))
                one.users.setdefault(node, set()).add(place)
    values = (
        {_key(value): value for node in nodes.values() for value in _made(node)} if found else {}
    )
    for one in found.values():
        one.replacement = values.get(_key(one.new))
        one.before = _first_after(one.old, here)
    yield from found.values()


def values_of(node: Node) -> list[Value]:
    """Returns all values among the arguments of a node, duplicates included."""
    return [*values_in((node.args, dict(node.kwargs)))]


def _made(node: Node) -> Iterator[Value]:
    """Yields the outputs of a node, and the inputs of its block if it is the last node there."""
    yield from node.outputs
    if node.op == "output":
        yield from node.block.inputs


def _root(node: Node) -> Node:
    return node.origin or node


def _key(value: Value) -> ValueKey:
    if value.node is not None:
        return _root(value.node), value.node.outputs.index(value)
    return _root(value.owner.end), value.owner.inputs.index(value)


def _first_after(old: Value, here: Mapping[Node, Node]) -> Node | None:
    """Returns the first node of a function that follows the nodes executed before a value was
    computed."""
    if old.node is None or _root(old.node.block.end) not in here:
        return None
    before: Block = old.node.block
    earlier = before.nodes[: before.nodes.index(old.node) + 1]
    block = here[_root(before.end)].block
    for node in reversed(earlier):
        stays = here.get(_root(node))
        if stays is not None and stays.block is block:
            return block.nodes[block.nodes.index(stays) + 1]
    return block.nodes[0]


def _give(user: Node, places: set[int], value: Value) -> None:
    """Replaces some of the values among the arguments of a node, given by position."""
    count = iter(range(len(values_of(user))))

    def change(own: Value) -> Argument:
        return value if next(count) in places else own

    args, kwargs = map_values((user.args, dict(user.kwargs)), change)
    user.args = args
    user.kwargs = kwargs
