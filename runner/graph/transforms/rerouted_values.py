"""What a mutation rerouted: values that nodes are given in place of those they had before.

Nodes are known again by their origin, the node that they are a copy of.
"""

from collections.abc import Iterator, Mapping
from typing import Any, final

from runner.graph.ir.function import Function
from runner.graph.ir.graph import Graph
from runner.graph.ir.node import Argument, Block, Node, Value, map_values, values_in

ValueKey = tuple[Any, ...]  # what a value is, in a function and in all copies of it


@final
class Rerouted:
    """A value that nodes are given for another one, `old`, of the unmutated graph, where the same
    value is `replacement`, or None if there it was not. `insert` puts a copy of it between."""

    def __init__(self, path: str, function: Function, old: Value, new: Value) -> None:
        self.path = path
        self.function = function
        self.old = old
        self.new = new
        self.replacement: Value | None = None
        self.users: dict[Node, set[int]] = {}  # with the places among the values of their arguments
        self.before: Node | None = None  # the first node that runs after `old` was made
        self.key = (path, function.name, *(f"{value.node}{value}" for value in (old, new)))

    @property
    def copy(self) -> Node:
        """The node that copies the value."""
        return self._copy

    def insert(self) -> None:
        """Give the users a copy, made where the old value was."""
        before = self._place()
        with self.function.inserting_before(before):
            self._copy = self.function.create("call_method", "clone", (self.new,))
        for user, places in self.users.items():
            _give(user, places, self._copy.output)

    def erase(self) -> None:
        """Give them the value itself again."""
        self._copy.output.replace_all_uses_with(self.new)
        self.function.erase_node(self._copy)

    def _place(self) -> Node:
        """The node that a copy goes in front of: as early as the old value was made, but behind
        the new one, and where all users see it."""
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
    """All values of a mutated graph that nodes are given in place of another one."""
    known = {id(function) for _, _, function in base.methods()}
    changed = [one for one in mutated.methods() if id(one[2]) not in known]
    if not changed:
        return []
    nodes = {_root(node): node for _, _, f in base.methods() for node in f.block.walk()}
    return [one for path, _, function in changed for one in _in_function(path, function, nodes)]


def _in_function(path: str, function: Function, nodes: Mapping[Node, Node]) -> Iterator[Rerouted]:
    """What was rerouted in a function; `nodes` are those of the unmutated graph, by their roots."""
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
    """All values among the arguments of a node, as often as they are."""
    return [*values_in((node.args, dict(node.kwargs)))]


def _made(node: Node) -> Iterator[Value]:
    """The outputs of a node, and the inputs of its block where it is the last one there."""
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
    """The first node of a function behind those that ran before a value was made."""
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
    """Put a value at some of the places where a node has values among its arguments."""
    count = iter(range(len(values_of(user))))

    def change(own: Value) -> Argument:
        return value if next(count) in places else own

    args, kwargs = map_values((user.args, dict(user.kwargs)), change)
    user.args = args
    user.kwargs = kwargs
