"""Functions: methods of units, and free functions of a graph."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, final

from runner.errors import GraphError
from runner.graph.ir.node import Argument, Block, Body, Node, Op, Parameter, Value, map_values
from runner.graph.ir.printer import NodePrinter


@final
class Function(Body):
    """A method of a unit (without `self`), or a free function of the graph.

    `block.inputs` are its parameters in order; `block.results` holds its return value, or nothing.
    New nodes are inserted at the position set by `inserting_before` or `inserting_after`, by
    default at the end.
    """

    def __init__(self, name: str, parameters: Sequence[Parameter] = ()) -> None:
        self.name = name
        self.parameters = tuple(parameters)
        self.block = Block(self)
        for parameter in self.parameters:
            self.block.add_input(parameter.name)
        self._block, self._before = self.block, self.block.end
        self.analyses: dict[str, Any] = {}  # results kept while copies share it: see `Unit.owns`

    # Contents

    @property
    def inputs(self) -> list[Value]:
        """The values of the parameters."""
        return self.block.inputs

    @property
    def nodes(self) -> list[Node]:
        """All nodes in program order, nested blocks included, without the `output` nodes."""
        return [node for node in self.block.walk() if node.op != "output"]

    def bound(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[Value, Any]:
        """Returns what a call passes to the inputs, without those that take their defaults. Raises
        TypeError for arguments that the parameters do not take."""
        rest, named = [*args], {**kwargs}
        given: dict[Value, Any] = {}
        for parameter, value in zip(self.parameters, self.inputs, strict=True):
            match parameter.kind:
                case "*":
                    given[value], rest = tuple(rest), []
                case "**":
                    given[value], named = named, {}
                case "" if rest:
                    given[value] = rest.pop(0)
                case _ if parameter.name in named:
                    given[value] = named.pop(parameter.name)
        if rest:
            raise TypeError(f"{self.name}() takes {len(args) - len(rest)} arguments")
        if named:
            raise TypeError(f"{self.name}() has no argument {next(iter(named))!r}")
        return given

    @property
    def result(self) -> Argument:
        """The return value; None if it returns nothing."""
        return self.block.results[0] if self.block.results else None

    @result.setter
    def result(self, result: Argument) -> None:
        self.block.results = (result,)

    # Insertion point

    @contextmanager
    def inserting_before(self, node: Node) -> Iterator[None]:
        """Inserts new nodes before a node."""
        with self._inserting(node.block, node):
            yield

    @contextmanager
    def inserting_after(self, node: Node) -> Iterator[None]:
        """Inserts new nodes after a node."""
        nodes = node.block.nodes
        with self._inserting(node.block, nodes[nodes.index(node) + 1]):
            yield

    @contextmanager
    def inserting_into(self, block: Block) -> Iterator[None]:
        """Inserts new nodes at the end of a block."""
        with self._inserting(block, block.end):
            yield

    @contextmanager
    def _inserting(self, block: Block, before: Node) -> Iterator[None]:
        place = self._block, self._before
        self._block, self._before = block, before
        try:
            yield
        finally:
            self._block, self._before = place

    # New nodes

    def create(
        self,
        op: Op,
        target: str,
        args: Sequence[Argument] = (),
        kwargs: Mapping[str, Argument] | None = None,
        *,
        outputs: Sequence[str] = ("",),
        line: str = "",
    ) -> Node:
        """Creates a node with one output for each name in `outputs`, and returns it."""
        node = Node(self._block, op, target, args, kwargs, line)
        for name in outputs:
            node.add_output(name)
        nodes = self._block.nodes
        at = len(nodes) - 1 if self._before is nodes[-1] else nodes.index(self._before)
        nodes.insert(at, node)
        return node

    def call_module(self, path: str, *args: Argument, **kwargs: Argument) -> Value:
        """Creates a call of a unit below this one; returns its output."""
        return self.create("call_module", path, args, kwargs).output

    def call_function(self, target: str, *args: Argument, **kwargs: Argument) -> Value:
        """Creates a call of the function "module:qualname"; returns its output."""
        return self.create("call_function", target, args, kwargs).output

    def call_method(self, name: str, *args: Argument, **kwargs: Argument) -> Value:
        """Creates a call of a method of the first argument; returns its output."""
        return self.create("call_method", name, args, kwargs).output

    def get_attr(self, path: str) -> Value:
        """Creates a read of a parameter, buffer, attribute or unit below this unit; returns its
        output."""
        return self.create("get_attr", path).output

    def erase_node(self, node: Node) -> None:
        """Erases a node. Raises GraphError if one of its outputs is still used."""
        if node.users:
            raise GraphError(f"{node} cannot be erased: {node.users[0]} uses its output.")
        node.erase()

    def clone(self) -> "Function":
        """Returns a deep copy, which shares no nodes and no values."""
        copy = Function(self.name, self.parameters)
        values = dict(zip(self.inputs, copy.inputs, strict=True))
        _copy_block(self.block, copy.block, values)
        copy._before = copy.block.end
        return copy

    def __str__(self) -> str:
        return "\n".join(NodePrinter().function(self.name, self.parameters, self.block))


def _copy_block(block: Block, copy: Block, values: dict[Value, Value]) -> None:
    """Fills an empty block with copies of the nodes of another; `values` maps the inputs and is
    extended by all outputs."""
    copy.nodes.clear()
    for node in block.nodes:
        args = map_values(node.args, values.__getitem__)
        kwargs = map_values(node.kwargs, values.__getitem__)
        twin = Node(copy, node.op, node.target, args, kwargs, node.line)
        twin.origin = node.origin or node
        for inner in node.blocks:
            twin_block = twin.add_block()
            for value in inner.inputs:
                values[value] = twin_block.add_input(value.name)
                values[value].spec = value.spec
            _copy_block(inner, twin_block, values)
        for value in node.outputs:
            values[value] = twin.add_output(value.name)
            values[value].spec = value.spec
        copy.nodes.append(twin)
