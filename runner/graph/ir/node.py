"""The body of a function: nodes in program order, the values they make, and who uses them.

A node is one Python operation; `op` is one of

    call_module     target is a unit's path below this one ("layer1.0", "" for itself), with
                    ":name" behind it for a method other than forward
    call_function   target is "module:qualname" ("torch:cat", "operator:add", "builtins:len");
                    ":name" is a function of the graph's own. `operator:getitem(x, i)` is `x[i]`,
                    `builtins:getattr(x, "dtype")` is `x.dtype`
    call_method     target is a name; the receiver is the first argument
    get_attr        target is the path of a parameter, buffer or attribute below this unit, or ""
                    for the unit itself, which a function that takes a module is given
    set_attr        the same, of an attribute of this very unit; one argument, no output
    list, dict      a new list of the arguments; a new dict of alternating keys and values
    unpack          one argument, taken apart into the outputs
    if              (condition): two blocks without inputs; their results become the outputs
    loop            (trips or None, condition, *carried): one block, inputs (index, *carried),
                    results (condition, *carried); the last carried values become the outputs
    with            (context): one block without inputs; its results become the outputs
    raise           target is the class of the exception, as for call_function
    output          the last node of every block: its arguments are the results

A call with several outputs takes its result apart. Arguments are values, constants (None, bool,
int, float, complex, str, Ellipsis, and those of `runner.graph.ir.argument`), choices left open
(`runner.nn.value.Expression`), and tuples, lists, dicts and slices of arguments.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, final

from runner.errors import GraphError
from runner.graph.ir.argument import Argument as Argument
from runner.graph.ir.argument import Spec as Spec
from runner.graph.ir.argument import Value as Value
from runner.graph.ir.argument import map_values as map_values
from runner.graph.ir.argument import values_in as values_in
from runner.graph.ir.printer import function_text

Op = Literal["call_module", "call_function", "call_method", "get_attr", "set_attr", "list", "dict",
             "unpack", "if", "loop", "with", "raise", "output"]  # fmt: skip


@final
class Node:
    """One operation; see the top of this file. `line` is where the source has it, and `origin` the
    node that it is a copy of, or that was copied first; None for one that is no copy."""

    __slots__ = ("_args", "_kwargs", "block", "blocks", "line", "op", "origin", "outputs", "target")

    def __init__(
        self,
        block: "Block",
        op: Op,
        target: str,
        args: Sequence[Argument] = (),
        kwargs: Mapping[str, Argument] | None = None,
        line: str = "",
    ) -> None:
        self.block = block
        self.op: Op = op
        self.target = target
        self.outputs: list[Value] = []
        self.blocks: list[Block] = []
        self.line = line
        self.origin: Node | None = None
        self._args: tuple[Argument, ...] = tuple(args)
        self._kwargs: dict[str, Argument] = dict(kwargs or {})
        self._use()

    @property
    def args(self) -> tuple[Argument, ...]:
        """Positional arguments; set the whole tuple to change them."""
        return self._args

    @args.setter
    def args(self, args: Sequence[Argument]) -> None:
        self._change(tuple(args), self._kwargs)

    @property
    def kwargs(self) -> Mapping[str, Argument]:
        """Arguments by name; set the whole mapping to change them."""
        return self._kwargs

    @kwargs.setter
    def kwargs(self, kwargs: Mapping[str, Argument]) -> None:
        self._change(self._args, dict(kwargs))

    @property
    def output(self) -> Value:
        """Its only output. Raises GraphError when there are none, or several."""
        if len(self.outputs) != 1:
            raise GraphError(f"{self} has {len(self.outputs)} outputs; use `outputs`.")
        return self.outputs[0]

    @property
    def inputs(self) -> list[Value]:
        """The values among its arguments, each once, in order."""
        both = (self._args, self._kwargs)
        return list(dict.fromkeys(v for argument in both for v in values_in(argument)))

    @property
    def users(self) -> list["Node"]:
        """All nodes that use one of its outputs."""
        return list(dict.fromkeys(user for value in self.outputs for user in value.users))

    @property
    def path(self) -> str:
        """Of a call_module: the path of the unit it calls."""
        return self.target.partition(":")[0]

    @property
    def method(self) -> str:
        """Of a call_module: the method it calls."""
        return self.target.partition(":")[2] or "forward"

    def add_output(self, name: str = "") -> Value:
        """One more output."""
        value = Value(name, self)
        self.outputs.append(value)
        return value

    def add_block(self) -> "Block":
        """One more block, empty."""
        block = Block(self)
        self.blocks.append(block)
        return block

    def replace_input(self, old: Value, new: Argument) -> None:
        """Put `new` wherever `old` is an argument."""

        def change(value: Value) -> Argument:
            return new if value is old else value

        self._change(map_values(self._args, change), map_values(self._kwargs, change))

    def replace_all_uses_with(self, other: "Node | Value") -> None:
        """Put the only output of another node, or a value, wherever the only output is used."""
        self.output.replace_all_uses_with(other.output if isinstance(other, Node) else other)

    def _change(self, args: tuple[Argument, ...], kwargs: dict[str, Argument]) -> None:
        for value in self.inputs:
            value.users.pop(self, None)
        self._args, self._kwargs = args, kwargs
        self._use()

    def _use(self) -> None:
        for argument in self._args:
            for value in values_in(argument):
                value.users[self] = None
        for argument in self._kwargs.values():
            for value in values_in(argument):
                value.users[self] = None

    def walk(self) -> Iterator["Node"]:
        """This node and all nodes in its blocks, in program order."""
        yield self
        for block in self.blocks:
            yield from block.walk()

    def __repr__(self) -> str:
        return f"<{self.op} {self.target}>" if self.target else f"<{self.op}>"


@final
class Block:
    """Nodes in program order; the last one is always the `output` node."""

    __slots__ = ("inputs", "nodes", "owner")

    def __init__(self, owner: "Node | Function") -> None:
        self.owner = owner
        self.inputs: list[Value] = []
        self.nodes: list[Node] = [Node(self, "output", "")]

    @property
    def end(self) -> Node:
        """The `output` node."""
        return self.nodes[-1]

    @property
    def results(self) -> tuple[Argument, ...]:
        """What the block gives; set the whole tuple to change it."""
        return self.end.args

    @results.setter
    def results(self, results: Sequence[Argument]) -> None:
        self.end.args = tuple(results)

    def add_input(self, name: str = "") -> Value:
        """One more input."""
        value = Value(name, self, is_input=True)
        self.inputs.append(value)
        return value

    def walk(self) -> Iterator[Node]:
        """All nodes here and in blocks below, in program order."""
        for node in self.nodes:
            yield node
            for block in node.blocks:
                yield from block.walk()


@final
@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a function. `default` is a tuple of one constant, or () for none."""

    name: str
    default: tuple[Argument, ...] = ()
    annotation: str = ""


@final
class Function:
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
        return function_text(self)


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
