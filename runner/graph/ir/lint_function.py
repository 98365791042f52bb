"""The rules of a function's body: what a node may look like, and what it may use."""

import keyword
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import final

from runner.errors import GraphError
from runner.graph.ir.argument import leaves_and_calls
from runner.graph.ir.constants import PLAIN, no_constant
from runner.graph.ir.function import Function
from runner.graph.ir.node import Argument, Block, Node, Value
from runner.graph.ir.signature import is_target
from runner.graph.ir.symbolic import is_open
from runner.graph.ir.unit import Call, Ref, Stored

_PATH = re.compile(r"[^.]+(\.[^.]+)*")


@final
@dataclass
class Uses:
    """What a function names: by name, how the first node that names it prints."""

    modules: dict[str, str] = field(default_factory=dict)
    gets: dict[str, str] = field(default_factory=dict)
    sets: dict[str, str] = field(default_factory=dict)
    functions: dict[str, str] = field(default_factory=dict)
    tensors: dict[str, str] = field(default_factory=dict)
    calls: dict[str, str] = field(default_factory=dict)  # targets that are called
    names: dict[str, str] = field(default_factory=dict)  # targets of refs
    choices: list[str] = field(default_factory=list)  # nodes with a choice left open


def uses_of(function: Function, where: str, *, kept: bool) -> Uses:
    """What a function uses, once its body is checked; for one that is `kept`, remembered."""
    uses: Uses | None = function.analyses.get("uses") if kept else None
    if uses is None:
        uses = _FunctionLint(function, where).check()
    if kept:
        function.analyses["uses"] = uses
    return uses


def is_name(text: str) -> bool:
    """Whether a text can be the name of a variable, an argument or a method."""
    return text.isidentifier() and not keyword.iskeyword(text)


@final
class _FunctionLint:
    """One pass over the nodes of a function."""

    def __init__(self, function: Function, where: str) -> None:
        self.function = function
        self.where = where
        self.uses = Uses()
        self.node: Node = function.block.end
        self._defined: set[Value] = set()
        self._all: list[Value] = []
        self._nodes: set[Node] = set()

    def check(self) -> Uses:
        """What the function uses. Raises GraphError for anything out of order in it."""
        block = self.function.block
        self._parameters()
        if block.owner is not self.function:
            raise self._wrong("its block belongs to another function")
        self._block(block)
        if len(block.results) > 1:
            raise self._wrong("a function returns one value; put several into a tuple")
        self._users()
        return self.uses

    def _wrong(self, text: str) -> GraphError:
        return GraphError(f"{self.where}: {_shown(self.node)}: {text}.")

    def _parameters(self) -> None:
        parameters = self.function.parameters
        names = [parameter.name for parameter in parameters]
        if len(parameters) != len(self.function.inputs):
            raise self._wrong(f"{len(parameters)} parameters, {len(self.function.inputs)} inputs")
        for name in names:
            if not is_name(name) or name == "self" or names.count(name) > 1:
                raise self._wrong(f"{name!r} cannot be the name of a parameter")
        defaults = [bool(parameter.default) for parameter in parameters]
        if defaults != sorted(defaults):
            raise self._wrong("a parameter without a default stands behind one with a default")
        for parameter in parameters:
            self._argument(parameter.default)

    def _block(self, block: Block) -> None:
        """Check a block; what it defines is gone behind it."""
        defined: list[Value] = []
        for value in block.inputs:
            self._define(value, block, defined)
        last = len(block.nodes) - 1
        for place, node in enumerate(block.nodes):
            self.node = node
            if (node.op == "output") != (place == last):
                raise self._wrong("the last node of a block, and no other, is its `output`")
            if node.block is not block:
                raise self._wrong("the node belongs to another block")
            if node in self._nodes:
                raise self._wrong("the node stands in two places")
            self._nodes.add(node)
            self._arguments(node)
            if not all(inner.nodes for inner in node.blocks):
                raise self._wrong("a block is empty; it ends with an `output` node")
            shape = _SHAPES.get(node.op)
            if shape is None:
                raise self._wrong(f"there is no operation {node.op!r}")
            if problem := shape(node, self.uses):
                raise self._wrong(problem)
            for inner in node.blocks:
                if inner.owner is not node:
                    raise self._wrong("its block belongs to another node")
                self._block(inner)
                self.node = node
            for value in node.outputs:
                self._define(value, node, defined)
        self._defined.difference_update(defined)

    def _define(self, value: Value, owner: Node | Block, defined: list[Value]) -> None:
        if value.owner is not owner:
            raise self._wrong(f"{value} belongs to something else")
        self._defined.add(value)
        self._all.append(value)
        defined.append(value)

    def _arguments(self, node: Node) -> None:
        for name in node.kwargs:
            if not is_name(name):
                raise self._wrong(f"{name!r} cannot be the name of an argument")
        self._argument((node.args, node.kwargs))

    def _argument(self, argument: Argument) -> None:
        for leaf in leaves_and_calls(argument):
            kind = type(leaf)
            if kind is Value:
                if leaf not in self._defined:
                    raise self._wrong(f"uses {leaf}, which is not defined there")
                if self.node not in leaf.users:
                    raise self._wrong(f"uses {leaf}, which does not list it among its users")
            elif kind is Ref:
                self.uses.names.setdefault(leaf.target, _shown(self.node))
            elif kind is Stored:
                self.uses.tensors.setdefault(leaf.name, _shown(self.node))
            elif kind is Call:
                if leaf.target[:1] != ".":
                    self.uses.calls.setdefault(leaf.target, _shown(self.node))
                if any(type(part) is Value for part in leaves_and_calls(leaf)):
                    raise self._wrong("a call among its arguments holds a value; make it a node")
            elif is_open(leaf):
                self.uses.choices.append(_shown(self.node))
            elif kind not in PLAIN:
                raise self._wrong(no_constant(leaf))

    def _users(self) -> None:
        """Whoever a value lists as a user must use it."""
        for value in self._all:
            for user in value.users:
                if user not in self._nodes:
                    self.node = user
                    raise self._wrong(f"is a user of {value}, but stands nowhere in the function")
                if value not in user.inputs:
                    self.node = user
                    raise self._wrong(f"is listed as a user of {value}, but does not use it")


def _shown(node: Node) -> str:
    return f"{node} ({node.line})" if node.line else repr(node)


# What each operation must look like: a function gives what is wrong, or nothing


def _plain(node: Node, outputs: int | None = 1) -> str:
    if node.blocks:
        return "it has blocks"
    if outputs is not None and len(node.outputs) != outputs:
        return f"it has {len(node.outputs)} outputs, not {outputs}"
    return ""


def _call_module(node: Node, uses: Uses) -> str:
    if node.path and not _PATH.fullmatch(node.path):
        return f"{node.path!r} is no path"
    if not is_name(node.method):
        return f"{node.method!r} is no method"
    if node.target not in uses.modules:
        uses.modules[node.target] = _shown(node)
    return _plain(node, None)


def _call_function(node: Node, uses: Uses) -> str:
    if node.target.startswith(":") and is_name(node.target[1:]):
        uses.functions.setdefault(node.target[1:], _shown(node))
    elif not is_target(node.target):
        return f"{node.target!r} is no target; write 'module:qualname'"
    elif node.target not in uses.calls:
        uses.calls[node.target] = _shown(node)
    return _plain(node, None)


def _call_method(node: Node, uses: Uses) -> str:
    if not is_name(node.target):
        return f"{node.target!r} is no method"
    return _plain(node, None) if node.args else "a method needs a receiver as first argument"


def _get_attr(node: Node, uses: Uses) -> str:
    if node.args or node.kwargs:
        return "it takes no arguments"
    if node.target and not _PATH.fullmatch(node.target):
        return f"{node.target!r} is no path"
    if node.target not in uses.gets:
        uses.gets[node.target] = _shown(node)
    return _plain(node)


def _set_attr(node: Node, uses: Uses) -> str:
    if len(node.args) != 1 or node.kwargs:
        return "it takes one argument"
    if not is_name(node.target):
        return f"{node.target!r} is no attribute of this very unit"
    if node.target not in uses.sets:
        uses.sets[node.target] = _shown(node)
    return _plain(node, 0)


def _list(node: Node, uses: Uses) -> str:
    return "its arguments have no names" if node.kwargs else _plain(node)


def _dict(node: Node, uses: Uses) -> str:
    if node.kwargs or len(node.args) % 2:
        return "it takes keys and values in turn"
    return _plain(node)


def _unpack(node: Node, uses: Uses) -> str:
    if len(node.args) != 1 or node.kwargs:
        return "it takes one argument"
    return _plain(node, None)


def _if(node: Node, uses: Uses) -> str:
    if len(node.args) != 1 or node.kwargs:
        return "it takes one argument, the condition"
    if len(node.blocks) != 2:
        return f"it has {len(node.blocks)} blocks, not 2"
    return _branches(node)


def _with(node: Node, uses: Uses) -> str:
    if len(node.args) != 1 or node.kwargs:
        return "it takes one argument, the context"
    if len(node.blocks) != 1:
        return f"it has {len(node.blocks)} blocks, not 1"
    return _branches(node)


def _branches(node: Node) -> str:
    for block in node.blocks:
        if block.inputs:
            return "its blocks take no inputs"
        if len(block.results) != len(node.outputs):
            return f"a block gives {len(block.results)} results for {len(node.outputs)} outputs"
    return ""


def _loop(node: Node, uses: Uses) -> str:
    if len(node.args) < 2 or node.kwargs:
        return "it takes the trips, the condition, and what is carried"
    if len(node.blocks) != 1:
        return f"it has {len(node.blocks)} blocks, not 1"
    carried, block = len(node.args) - 2, node.blocks[0]
    if len(block.inputs) != carried + 1:
        return f"its block takes {len(block.inputs)} inputs; with {carried} carried it is one more"
    if len(block.results) != carried + 1:
        return (
            f"its block gives {len(block.results)} results; with {carried} carried it is one more"
        )
    if len(node.outputs) != carried:
        return f"it has {len(node.outputs)} outputs, and carries {carried}"
    return ""


def _raise(node: Node, uses: Uses) -> str:
    if not is_target(node.target):
        return f"{node.target!r} is no target; write 'module:qualname'"
    uses.calls.setdefault(node.target, _shown(node))
    return _plain(node, 0)


def _output(node: Node, uses: Uses) -> str:
    return "its arguments have no names" if node.kwargs else _plain(node, 0)


_SHAPES: Mapping[str, Callable[[Node, Uses], str]] = {
    "call_module": _call_module,
    "call_function": _call_function,
    "call_method": _call_method,
    "get_attr": _get_attr,
    "set_attr": _set_attr,
    "list": _list,
    "dict": _dict,
    "unpack": _unpack,
    "if": _if,
    "loop": _loop,
    "with": _with,
    "raise": _raise,
    "output": _output,
}
