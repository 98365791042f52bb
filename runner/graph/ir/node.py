"""The body of a function: nodes in program order, the values they compute, and their users.

A node is one Python operation; `op` is one of

    call_module     target is the path of a unit below this one ("layer1.0", "" for itself), with
                    ":name" appended for a method other than forward
    call_function   target is "module:qualname" ("torch:cat", "operator:add", "builtins:len");
                    ":name" is a function of the graph itself. `operator:getitem(x, i)` is `x[i]`,
                    `builtins:getattr(x, "dtype")` is `x.dtype`
    call_method     target is a name; the receiver is the first argument, which `__call__` calls
    get_attr        target is the path of a parameter, buffer, attribute or unit below this unit, or
                    "" for the unit itself; a unit is a value for functions that take a module
    set_attr        the same, of an attribute of this unit itself; one argument, no output
    list, dict      a new list of the arguments; a new dict of alternating keys and values
    unpack          one argument, which is unpacked into the outputs
    if              (condition): two blocks without inputs; their results become the outputs
    loop            (trips or None, condition, *carried): one block, inputs (index, *carried),
                    results (condition, *carried); the last carried values become the outputs
    with            (context): one block without inputs; its results become the outputs
    raise           target is the class of the exception, as for call_function
    output          the last node of every block: its arguments are the results

The arguments of a call may end with those in a sequence and in a mapping that are not known one by
one, as in Python: under the names "*" and "**". A call with several outputs unpacks its result.
Arguments are values, constants (None, bool, int, float, complex, str, Ellipsis, and those of
`runner.graph.ir.argument`), symbolic choices (`runner.nn.values.expression.Expression`), and
tuples, lists, dicts and slices of arguments.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, final

from runner.errors import GraphError
from runner.graph.ir.argument import Argument as Argument
from runner.graph.ir.argument import Spec as Spec
from runner.graph.ir.argument import all_in
from runner.nested import rebuild

Op = Literal["call_module", "call_function", "call_method", "get_attr", "set_attr", "list", "dict",
             "unpack", "if", "loop", "with", "raise", "output"]  # fmt: skip
SPREAD = ("*", "**")  # names of arguments that stand for any number of them
ParameterKind = Literal["", "*", "keyword", "**"]


@final
class Value:
    """An output of a node, or an input of a block. `name` is its name in the source, "" for
    none."""

    __slots__ = ("is_input", "name", "owner", "spec", "users")

    def __init__(self, name: str, owner: "Node | Block", *, is_input: bool = False) -> None:
        self.name = name
        self.owner: Any = owner
        self.is_input = is_input  # of a block
        self.users: dict[Node, None] = {}  # nodes with this value among their arguments, in order
        self.spec: Spec | None = None  # set by shape propagation

    @property
    def node(self) -> "Node | None":
        """The node that computes it; None for an input of a block."""
        return None if self.is_input else self.owner

    def replace_all_uses_with(self, other: Argument) -> None:
        """Replaces this value by `other` in all arguments."""
        for user in [*self.users]:
            user.replace_input(self, other)

    def __repr__(self) -> str:
        return f"%{self.name or '_'}"


def producer(argument: Argument) -> "Node | None":
    """Returns the node that computes an argument; None for a constant or an input of a block."""
    return argument.node if type(argument) is Value else None


def is_int(argument: Argument, number: int) -> bool:
    """Returns whether an argument is the constant `number`, and no bool or float."""
    return type(argument) is int and argument == number


def map_values(argument: Argument, change: Callable[[Value], Argument]) -> Argument:
    """Returns the argument with `change(value)` in place of each value, at any depth."""
    return rebuild(argument, lambda leaf: change(leaf) if type(leaf) is Value else leaf)


def values_in(argument: Argument) -> list[Value]:
    """Returns all values in an argument in order, duplicates included."""
    return all_in(argument, Value)


@final
class Node:
    """One operation; see the module docstring. `line` is its location in the source. `origin` is
    the node it is a copy of, directly or indirectly; None for a node that is not a copy."""

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
        """Positional arguments; assign the whole tuple to change them."""
        return self._args

    @args.setter
    def args(self, args: Sequence[Argument]) -> None:
        self._change(tuple(args), self._kwargs)

    @property
    def kwargs(self) -> Mapping[str, Argument]:
        """Keyword arguments; assign the whole mapping to change them."""
        return self._kwargs

    @kwargs.setter
    def kwargs(self, kwargs: Mapping[str, Argument]) -> None:
        self._change(self._args, dict(kwargs))

    @property
    def output(self) -> Value:
        """Its only output. Raises GraphError if there are none, or several."""
        if len(self.outputs) != 1:
            raise GraphError(f"{self} has {len(self.outputs)} outputs; use `outputs`.")
        return self.outputs[0]

    @property
    def arguments(self) -> dict[int | str, Argument]:
        """The arguments by position and by name."""
        found: dict[int | str, Argument] = dict(enumerate(self._args))
        return found | self._kwargs

    @property
    def inputs(self) -> list[Value]:
        """The values among its arguments in order, without duplicates."""
        return [*dict.fromkeys(values_in((self._args, self._kwargs)))]

    @property
    def users(self) -> list["Node"]:
        """All nodes that use one of its outputs."""
        return list(dict.fromkeys(user for value in self.outputs for user in value.users))

    @property
    def path(self) -> str:
        """The path of the called unit, for a call_module."""
        return self.target.partition(":")[0]

    @property
    def method(self) -> str:
        """The name of the called method, for a call_module."""
        return self.target.partition(":")[2] or "forward"

    def add_output(self, name: str = "") -> Value:
        """Appends an output, and returns it."""
        value = Value(name, self)
        self.outputs.append(value)
        return value

    def add_block(self) -> "Block":
        """Appends an empty block, and returns it."""
        block = Block(self)
        self.blocks.append(block)
        return block

    def erase(self) -> None:
        """Removes the node from its block; it and the nodes inside it use no values any more."""
        for inner in self.walk():
            inner.args, inner.kwargs = (), {}
        self.block.nodes.remove(self)

    def replace_input(self, old: Value, new: Argument) -> None:
        """Replaces a value by `new` in all its arguments."""

        def change(value: Value) -> Argument:
            return new if value is old else value

        self._change(map_values(self._args, change), map_values(self._kwargs, change))

    def replace_all_uses_with(self, other: "Node | Value") -> None:
        """Replaces all uses of its only output by a value, or by the only output of another
        node."""
        self.output.replace_all_uses_with(other.output if isinstance(other, Node) else other)

    def _change(self, args: tuple[Argument, ...], kwargs: dict[str, Argument]) -> None:
        for value in self.inputs:
            value.users.pop(self, None)
        self._args, self._kwargs = args, kwargs
        self._use()

    def _use(self) -> None:
        for value in self.inputs:
            value.users[self] = None

    def is_in(self, block: "Block") -> bool:
        """Returns whether it is in a block, directly or nested."""
        owner: Node | Body = self.block.owner
        return self.block is block or (isinstance(owner, Node) and owner.is_in(block))

    def walk(self) -> Iterator["Node"]:
        """Yields this node and all nodes in its blocks, in program order."""
        yield self
        for block in self.blocks:
            yield from block.walk()

    def __repr__(self) -> str:
        return f"<{self.op} {self.target}>" if self.target else f"<{self.op}>"


@final
class Block:
    """Nodes in program order; the last one is always the `output` node."""

    __slots__ = ("inputs", "nodes", "owner")

    def __init__(self, owner: "Node | Body") -> None:
        self.owner = owner
        self.inputs: list[Value] = []
        self.nodes: list[Node] = [Node(self, "output", "")]

    @property
    def end(self) -> Node:
        """The `output` node."""
        return self.nodes[-1]

    @property
    def results(self) -> tuple[Argument, ...]:
        """The values a block computes; assign the whole tuple to change them."""
        return self.end.args

    @results.setter
    def results(self, results: Sequence[Argument]) -> None:
        self.end.args = tuple(results)

    def add_input(self, name: str = "") -> Value:
        """Appends an input, and returns it."""
        value = Value(name, self, is_input=True)
        self.inputs.append(value)
        return value

    def adopt(self, nodes: Sequence[Node], place: int) -> None:
        """Moves nodes from another block here, in front of the node at `place`."""
        for node in nodes:
            node.block.nodes.remove(node)
            node.block = self
        self.nodes[place:place] = nodes

    def walk(self) -> Iterator[Node]:
        """Yields all nodes of this block and of nested blocks, in program order."""
        for node in self.nodes:
            yield node
            for block in node.blocks:
                yield from block.walk()


class Body:
    """The owner of an outermost block: a function."""

    name: str


@final
@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a function. `default` is a tuple of one constant, or () for none.

    `kind` is "" for one passed by position or by name, "*" for all further positions (a tuple),
    "keyword" for one passed by name only, and "**" for all further names (a dict); they follow in
    this order.
    """

    name: str
    default: tuple[Argument, ...] = ()
    annotation: str = ""
    kind: ParameterKind = ""
