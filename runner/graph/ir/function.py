"""Functions: the methods of units, and functions of a graph's own."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, final

from runner.errors import GraphError
from runner.graph.ir.node import Argument, Block, Body, Node, Op, Parameter, Value, map_values
from runner.graph.ir.printer import NodePrinter


@final
class Function(Body):
    """A method of a unit (without `self`), or a function of the graph's own.

    `block.inputs` are its parameters in order, `block.results` the one value it returns, or
    nothing. New nodes are put where `inserting_before` or `inserting_after` say, else at the end.
    """

    def __init__(self, name: str, parameters: Sequence[Parameter] = ()) -> None:
        self.name = name
        self.parameters = tuple(parameters)
        self.block = Block(self)
        for parameter in self.parameters:
            self.block.add_input(parameter.name)
        self._block, self._before = self.block, self.block.end
        self.analyses: dict[str, Any] = {}  # results kept while copies share it: see `Unit.owns`

    # What there is

    @property
    def inputs(self) -> list[Value]:
        """The values of the parameters."""
        return self.block.inputs

    @property
    def nodes(self) -> list[Node]:
        """All nodes, those in blocks too, in program order, without the `output` nodes."""
        return [node for node in self.block.walk() if node.op != "output"]

    @property
    def result(self) -> Argument:
        """What it returns; None for nothing."""
        return self.block.results[0] if self.block.results else None

    @result.setter
    def result(self, result: Argument) -> None:
        self.block.results = (result,)

    # Where new nodes go

    @contextmanager
    def inserting_before(self, node: Node) -> Iterator[None]:
        """Put new nodes in front of a node."""
        with self._inserting(node.block, node):
            yield

    @contextmanager
    def inserting_after(self, node: Node) -> Iterator[None]:
        """Put new nodes behind a node."""
        nodes = node.block.nodes
        with self._inserting(node.block, nodes[nodes.index(node) + 1]):
            yield

    @contextmanager
    def inserting_into(self, block: Block) -> Iterator[None]:
        """Put new nodes at the end of a block."""
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
        """A new node with an output for each name in `outputs`."""
        node = Node(self._block, op, target, args, kwargs, line)
        for name in outputs:
            node.add_output(name)
        nodes = self._block.nodes
        at = len(nodes) - 1 if self._before is nodes[-1] else nodes.index(self._before)
        nodes.insert(at, node)
        return node

    def call_module(self, path: str, *args: Argument, **kwargs: Argument) -> Value:
        """The result of calling a unit below this one."""
        return self.create("call_module", path, args, kwargs).output

    def call_function(self, target: str, *args: Argument, **kwargs: Argument) -> Value:
        """The result of calling `module:qualname`."""
        return self.create("call_function", target, args, kwargs).output

    def call_method(self, name: str, *args: Argument, **kwargs: Argument) -> Value:
        """The result of calling a method of the first argument."""
        return self.create("call_method", name, args, kwargs).output

    def get_attr(self, path: str) -> Value:
        """A parameter, buffer or attribute below this unit."""
        return self.create("get_attr", path).output

    def erase_node(self, node: Node) -> None:
        """Remove a node. Raises GraphError while an output of it is used."""
        if node.users:
            raise GraphError(f"{node} cannot be erased: {node.users[0]} uses what it gives.")
        for inner in node.walk():
            inner.args, inner.kwargs = (), {}
        node.block.nodes.remove(node)

    def clone(self) -> "Function":
        """A copy that shares no node and no value."""
        copy = Function(self.name, self.parameters)
        values = dict(zip(self.inputs, copy.inputs, strict=True))
        _copy_block(self.block, copy.block, values)
        copy._before = copy.block.end
        return copy

    def __str__(self) -> str:
        return "\n".join(NodePrinter().function(self.name, self.parameters, self.block))


def _copy_block(block: Block, copy: Block, values: dict[Value, Value]) -> None:
    """Fill an empty block, whose inputs are in `values`, with copies of the nodes of another."""
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
