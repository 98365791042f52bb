"""Alias analysis: which values of a model may share memory, and what changes it in place.

Points are values of functions, and the inputs and outputs of units that others run. An edge leads
from a point to one that may be the same tensor, a view of it, or a container of it. The analysis
looks at no order of execution (`runs_after` does), and code that was not read may do anything.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, final

from torch import nn

from runner.errors import GraphError
from runner.graph.argument import Argument, Value, values_in
from runner.graph.graph import Graph
from runner.graph.node import Block, Function, Node
from runner.graph.signature import argument, locate
from runner.graph.sites import behind, is_in_order
from runner.graph.unit import Unit
from runner.operators import (
    Facts,
    Sharing,
    always_shares,
    attribute_shares,
    function_facts,
    method_facts,
)

Owner = Unit | None  # whose code a function is; None for the graph's own functions
Point = tuple[Hashable, Hashable]  # (owner, value), (unit, "in"), (unit, "out"), (unit, ".name")
Place = tuple[Owner, Node | None]  # a node in the code of a unit, or a unit that others run

_FRESH = frozenset(
    f"torch.nn.modules.{name}"
    for name in (
        *("linear", "conv", "batchnorm", "instancenorm", "normalization", "pooling", "activation"),
        *("rnn", "sparse", "distance", "loss"),
    )
)


@final
@dataclass(frozen=True, eq=False)
class Write:
    """A place that changes a tensor in place; `unit` is the module that does it, where telling it
    `inplace=False` would end that."""

    place: Place
    unit: Unit | None = None


@final
class Aliases:
    """The points of a graph, and how they hang together; to be built anew after any change."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.writes: dict[Point, list[Write]] = defaultdict(list)
        self.calls: dict[Unit, list[tuple[Unit, Function, Node]]] = defaultdict(list)
        self.parents: dict[Unit, list[Unit]] = defaultdict(list)
        self._derived: dict[Point, list[Point]] = defaultdict(list)
        self._derived_in_code: dict[Point, list[Point]] = defaultdict(list)
        self._sources: dict[Point, list[Point]] = defaultdict(list)
        for _, unit in graph.units():
            self._add(unit)
        for name, function in graph.functions.items():
            self._block(None, function.block, returned(None, name))

    # Queries

    def derived(
        self,
        starts: Iterable[Point],
        *,
        without: Iterable[Point] = (),
        through_units: bool = True,
    ) -> dict[Point, None]:
        """All points that may hold the memory of one of `starts`, and these, but for those only
        reached through the points in `without` or, with `through_units` false, through units that
        work in place."""
        edges = self._derived if through_units else self._derived_in_code
        return _closed(starts, edges, set(without))

    def sharing(
        self, starts: Iterable[Point], *, without: Iterable[Point] = ()
    ) -> dict[Point, None]:
        """All points whose memory may be that of one of `starts`: what these are derived from, and
        all that is derived from that."""
        skipped = set(without)
        return _closed(_closed(starts, self._sources, skipped), self._derived, skipped)

    def runs_after(self, place: Place) -> set[Place]:
        """All places that may be executed after one was."""
        return _After(self).of(place)

    def runs_in(self, unit: Unit) -> set[Place]:
        """All places that are executed when a unit is called."""
        return _After(self).within(unit)

    def runs_its_children(self, unit: Unit) -> bool:
        """Whether no code that can be seen calls the children of a unit, so that a call of the
        unit itself runs them. Code above a Sequential may call them one by one instead."""
        if not is_in_order(unit):
            return unit.grade == "shell"
        above = self.parents[unit]
        return not above or unit in self.calls or any(
            parent.grade != "graph" or parent.inherits or is_in_order(parent) for parent in above
        )  # fmt: skip

    # Units

    def _add(self, unit: Unit) -> None:
        for child in unit.children.values():
            if child is not None:
                self.parents[child].append(unit)
        if unit.grade == "graph":
            for name, function in unit.functions.items():
                self._block(unit, function.block, returned(unit, name))
            if is_in_order(unit):
                self._in_order(unit)
            elif forward := unit.functions.get("forward"):
                for value in forward.inputs[:1]:
                    self._edge((unit, "in"), (unit, value))
                self._edge(returned(unit, "forward"), (unit, "out"))
        elif unit.grade == "basic":
            self._basic(unit, [(unit, "in")], [(unit, "out")], (unit, None))
        else:
            self._unread(unit)

    def _in_order(self, unit: Unit) -> None:
        last: Point = (unit, "in")
        for child in unit.children.values():
            if child is not None:
                self._edge(last, (child, "in"))
                last = (child, "out")
        self._edge(last, (unit, "out"))

    def _unread(self, unit: Unit) -> None:
        """A unit whose forward was not read: it may give anything to any child."""
        self.writes[unit, "in"].append(Write((unit, None)))
        self._edge((unit, "in"), (unit, "out"))
        for child in unit.children.values():
            if child is not None:
                self._edge((unit, "in"), (child, "in"))
                self._edge((child, "out"), (unit, "in"))

    def _basic(self, unit: Unit, given: list[Point], made: list[Point], place: Place) -> None:
        """A run of a unit that is not looked into."""
        if works_in_place(unit):
            for point in given[:1]:
                self.writes[point].append(Write(place, unit))
                for output in made:
                    self._edge(point, output, in_code=False)
            return
        if not _is_torch(unit):
            for point in given:
                self.writes[point].append(Write(place))
        if unit_shares(unit) != "never":
            self._edges(given, made)

    # Code

    def _block(self, owner: Owner, block: Block, result: Point) -> None:
        for node in block.nodes:
            if node.op == "output":
                self._edges(self._points(owner, node.args), [result])
            else:
                self._node(owner, node)

    def _node(self, owner: Owner, node: Node) -> None:
        given, made = self._points(owner, node.inputs), self._points(owner, node.outputs)
        match node.op:
            case "call_module" if owner is not None:
                self._call(owner, node, given, made)
            case "call_function" | "call_method":
                self._computed(owner, node, given, made)
            case "list" | "dict" | "unpack":
                self._edges(given, made)
            case "if" | "with":
                for block in node.blocks:
                    self._nested(owner, block, node.outputs)
            case "loop":
                self._loop(owner, node)
            case "get_attr" if owner is not None:
                self._edges(_attribute(owner, node.target), made)
            case "set_attr" if owner is not None:
                self._edges(given, _attribute(owner, node.target))
            case _:
                pass

    def _nested(self, owner: Owner, block: Block, outputs: list[Value]) -> None:
        for inner in block.nodes[:-1]:
            self._node(owner, inner)
        for result, output in zip(block.results, outputs, strict=True):
            self._edges(self._points(owner, result), [(owner, output)])

    def _loop(self, owner: Owner, node: Node) -> None:
        (block,) = node.blocks
        for inner in block.nodes[:-1]:
            self._node(owner, inner)
        carried = zip(node.args[2:], block.results[1:], block.inputs[1:], node.outputs, strict=True)
        for first, later, inside, output in carried:
            points = self._points(owner, (first, later))
            self._edges(points, [(owner, inside), (owner, output)])

    def _call(self, owner: Unit, node: Node, given: list[Point], made: list[Point]) -> None:
        """A call of a unit; of a part of what is not looked into, nothing is known."""
        unit = owner.find(node.path)
        if unit is None:
            self._unknown((owner, node), given, made)
            return
        self.calls[unit].append((owner, _function_of(node), node))
        function = unit.functions.get(node.method)
        if function is not None:
            self._into(unit, function, owner, node)
            self._edges([returned(unit, node.method)], made)
        elif node.method != "forward":
            self._unknown((owner, node), given, made)
        elif unit.grade == "basic":
            self._basic(unit, given, made, (owner, node))
        else:
            self._edges(given, [(unit, "in")])
            self._edges([(unit, "out")], made)

    def _into(self, unit: Owner, function: Function, owner: Owner, node: Node) -> None:
        """What a node gives to the parameters of a function."""
        names = [parameter.name for parameter in function.parameters]
        given = {**dict(zip(names, node.args, strict=False)), **node.kwargs}
        for name, value in zip(names, function.inputs, strict=True):
            self._edges(self._points(owner, given.get(name)), [(unit, value)])

    def _computed(self, owner: Owner, node: Node, given: list[Point], made: list[Point]) -> None:
        """A call of a function or method."""
        if node.target[:1] == ":":
            function = self.graph.functions.get(node.target[1:])
            if function is not None:
                self._into(None, function, owner, node)
                self._edges([returned(None, function.name)], made)
                return
        facts = facts_of(node)
        if not facts.is_known:
            self._unknown((owner, node), given, made)
            return
        changed = self._points(owner, written(node))
        for point in changed:
            self.writes[point].append(Write((owner, node)))
        self._edges(changed if facts.shares == "always" else [], made)
        if facts.shares == "maybe" or _joins_lists(node):
            self._edges(given, made)
        if facts.fills or (node.target == "operator:setitem" and _may_be_list(node.args[0])):
            self._edges(given[1:], given[:1])

    def _unknown(self, place: Place, given: list[Point], made: list[Point]) -> None:
        for point in given:
            self.writes[point].append(Write(place))
        self._edges(given, made)

    # Edges

    def _points(self, owner: Owner, argument: Argument) -> list[Point]:
        return [(owner, value) for value in values_in(argument)]

    def _edges(self, sources: Iterable[Point], derived: Iterable[Point]) -> None:
        targets = [*derived]
        for source in sources:
            for target in targets:
                self._edge(source, target)

    def _edge(self, source: Point, derived: Point, *, in_code: bool = True) -> None:
        self._derived[source].append(derived)
        if in_code:
            self._derived_in_code[source].append(derived)
        self._sources[derived].append(source)


def returned(owner: Owner, name: str) -> Point:
    """What a function returns."""
    return owner, f"{name}()"


def _attribute(owner: Unit, path: str) -> list[Point]:
    """An attribute below a unit that code sets, or reads."""
    above, _, name = path.rpartition(".")
    unit = owner.find(above)
    return [] if unit is None else [(unit, f".{name}")]


def _closed(
    starts: Iterable[Point], edges: Mapping[Point, list[Point]], without: set[Point]
) -> dict[Point, None]:
    """The points that can be reached, in the order in which they are."""
    found = dict.fromkeys(starts)
    waiting = [*found]
    while waiting:
        for point in edges.get(waiting.pop(), ()):
            if point not in found and point not in without:
                found[point] = None
                waiting.append(point)
    return found


# Order of execution


@final
class _After:
    """Collects what may run after a place: later nodes, what these call, and so on upwards."""

    def __init__(self, aliases: Aliases) -> None:
        self._aliases = aliases
        self._found: set[Place] = set()
        self._whole: set[tuple[Owner, str]] = set()  # functions that run as a whole
        self._left: set[tuple[Owner, Any]] = set()

    def of(self, place: Place) -> set[Place]:
        unit, node = place
        if node is not None:
            self._behind(unit, node)
        elif unit is not None:
            self._behind_unit(unit)
        return self._found

    def within(self, unit: Unit) -> set[Place]:
        self._unit(unit)
        return self._found

    def _behind(self, owner: Owner, node: Node) -> None:
        """What runs after a node of a unit's code."""
        for later in (*behind(node), *_in_loops(node)):
            self._node(owner, later)
        function = _function_of(node)
        if owner is not None and (owner, function) not in self._left:
            self._left.add((owner, function))
            self._behind_calls(owner, function.name)
            if function.name == "forward":
                self._behind_unit(owner)

    def _behind_unit(self, unit: Unit) -> None:
        """What runs after a unit that others run: a Sequential, or code that was not read."""
        if (unit, None) in self._left:
            return
        self._left.add((unit, None))
        for parent in self._aliases.parents[unit]:
            if is_in_order(parent):
                children = [*parent.children.values()]
                for child in children[children.index(unit) + 1 :]:
                    self._unit(child)
            elif parent.grade == "graph":
                continue
            else:
                self._unit(parent)
            self._behind_calls(parent, "forward")
            self._behind_unit(parent)

    def _behind_calls(self, unit: Unit, name: str) -> None:
        for owner, _, node in self._aliases.calls.get(unit, ()):
            if node.method == name:
                self._behind(owner, node)

    def _node(self, owner: Owner, node: Node) -> None:
        if (owner, node) in self._found:
            return
        self._found.add((owner, node))
        if node.op == "call_module" and owner is not None:
            unit = owner.find(node.path)
            self._unit(unit, node.method)
        elif node.target[:1] == ":" and (own := self._aliases.graph.functions.get(node.target[1:])):
            self._function(None, own)

    def _unit(self, unit: Unit | None, name: str = "forward") -> None:
        """All that runs in a unit."""
        if unit is None or (unit, name) in self._whole:
            return
        self._whole.add((unit, name))
        self._found.add((unit, None))
        if name in unit.functions:
            self._function(unit, unit.functions[name])
        elif unit.grade != "basic":
            for child in unit.children.values():
                self._unit(child)

    def _function(self, owner: Owner, function: Function) -> None:
        for node in function.nodes:
            self._node(owner, node)


def _in_loops(node: Node) -> Iterator[Node]:
    """The nodes of all loops that a node is in: they may run again."""
    above = node.block.owner
    while isinstance(above, Node):
        if above.op == "loop":
            yield from above.walk()
        above = above.block.owner


def _function_of(node: Node) -> Function:
    """The function that a node is in."""
    owner: Any = node.block.owner
    while not isinstance(owner, Function):
        owner = owner.block.owner
    return owner


# Facts about nodes and units


def facts_of(node: Node) -> Facts:
    """What a call of a function or method does to memory."""
    if node.op == "call_method":
        return method_facts(node.target)
    if node.target == "builtins:getattr" and len(node.args) > 1:
        name = node.args[1]
        return Facts(shares="maybe" if attribute_shares(str(name)) else "never")
    return function_facts(node.target)


def written(node: Node) -> list[Value]:
    """The values that a call of a function or method changes in place."""
    facts = facts_of(node)
    given: dict[Any, Argument] = {**dict(enumerate(node.args)), **node.kwargs}
    changed = [given[key] for key in given if key in facts.writes]
    first = next(iter(given.values()), None)
    told = given.get("inplace", given.get(facts.inplace) if facts.inplace is not None else None)
    if told not in (None, False):
        changed.append(first)
    return [*dict.fromkeys(value for one in changed for value in values_in(one))]


def works_in_place(unit: Unit) -> bool:
    """Whether a module that is not looked into was told to work in place."""
    if unit.grade != "basic" or unit.call is None:
        return False
    try:
        return argument(unit.call, "inplace") is True
    except GraphError:  # it has no such argument
        return False


def unit_shares(unit: Unit) -> Sharing:
    """Whether a unit that is not looked into may give the memory it is given."""
    if unit.grade != "basic":
        return "maybe"
    if works_in_place(unit) or unit.cls.target == "torch.nn:Identity":
        return "always"
    return "never" if _class_of(unit.cls.target) == "fresh" else "maybe"


def may_give(owner: Unit, node: Node) -> bool:
    """Whether a node may give the memory of its first argument."""
    if node.op != "call_module":
        return node.target[:1] == ":" or facts_of(node).shares != "never"
    unit = owner.find(node.path)
    return unit is None or unit_shares(unit) != "never"


def always_gives(owner: Unit, node: Node) -> bool:
    """Whether a node gives the memory of its first argument, whatever that is."""
    if node.op == "call_module":
        unit = owner.find(node.path)
        return unit is not None and unit_shares(unit) == "always"
    if node.target[:1] == ":":
        return False
    if node.inputs[:1] and node.inputs[0] in written(node):
        return True
    kind: Literal["function", "method"] = "function" if node.op == "call_function" else "method"
    return node.target != "builtins:getattr" and always_shares(kind, node.target)


def _is_torch(unit: Unit) -> bool:
    """Whether a unit is a layer of torch, which changes nothing but when it is told to."""
    return _class_of(unit.cls.target) != "unknown"


@lru_cache(maxsize=4096)
def _class_of(target: str) -> Literal["fresh", "torch", "unknown"]:
    """What is known of a class: a layer of torch that makes new tensors, another one, or none."""
    try:
        cls = locate(target)
    except GraphError:
        return "unknown"
    module = getattr(cls, "__module__", "")
    if module in _FRESH and cls is not nn.Identity:
        return "fresh"
    return "torch" if module.startswith("torch.nn.modules.") else "unknown"


_LISTS = ("builtins:list", "builtins:tuple", "builtins:sorted", "builtins:zip", "builtins:reversed",
          "builtins:enumerate", "builtins:dict")  # fmt: skip


def _joins_lists(node: Node) -> bool:
    """Whether a node puts lists together, as far as it can be seen."""
    is_sum = node.target in ("operator:add", "operator:mul", "operator:iadd", "operator:concat")
    return is_sum and any(
        _is_list(argument) if type(argument) is Value else type(argument) in (list, tuple)
        for argument in node.args
    )


def _is_list(value: Value) -> bool:
    """Whether a value is seen to be a container of others."""
    made = value.node
    if made is None:
        return _annotation(value) not in ("", *_TENSORS)
    if made.op in ("if", "loop", "with"):
        place = made.outputs.index(value) + (made.op == "loop")
        inner = [one for block in made.blocks for one in values_in(block.results[place])]
        return any(_is_list(one) for one in inner if one is not value and one.node is not None)
    return made.op in ("list", "dict") or made.target in _LISTS or _joins_lists(made)


def _may_be_list(argument: Argument) -> bool:
    """Whether an argument may be a container of tensors, and not a tensor."""
    if not isinstance(argument, Value) or argument.spec is not None:
        return False
    made = argument.node
    if made is None:
        return _annotation(argument) not in _TENSORS
    if made.op in ("call_function", "call_method"):
        return made.target.startswith(("operator:", "builtins:", ":")) or _is_list(argument)
    return True


_TENSORS = ("Tensor", "torch.Tensor")


def _annotation(value: Value) -> str:
    """The type that the code gives to a parameter; "" for any other value."""
    function = value.owner.owner
    if not isinstance(function, Function):
        return ""
    return function.parameters[function.inputs.index(value)].annotation
