"""Verifies the body of a function: the form of each node, and the values it uses."""

import keyword
import re
from dataclasses import dataclass, field
from typing import final, get_args

from runner.errors import GraphError
from runner.graph.ir.argument import PLAIN, leaves_and_calls
from runner.graph.ir.constants import no_constant
from runner.graph.ir.function import Function
from runner.graph.ir.node import SPREAD, Argument, Block, Node, Op, Value
from runner.graph.ir.signature import is_target
from runner.graph.ir.symbolic import is_symbolic
from runner.graph.ir.unit import Call, Ref, Stored

_PATH = re.compile(r"[^.]+(\.[^.]+)*")


_KINDS = ("", "*", "keyword", "**")  # of parameters, in order


@final
@dataclass
class Uses:
    """The names that a function refers to, each with the text of the first node that does."""

    modules: dict[str, str] = field(default_factory=dict)
    gets: dict[str, str] = field(default_factory=dict)
    sets: dict[str, str] = field(default_factory=dict)
    functions: dict[str, str] = field(default_factory=dict)
    tensors: dict[str, str] = field(default_factory=dict)
    calls: dict[str, str] = field(default_factory=dict)  # targets of calls
    names: dict[str, str] = field(default_factory=dict)  # targets of refs
    choices: list[str] = field(default_factory=list)  # nodes with symbolic choices


def uses_of(function: Function, where: str, *, kept: bool) -> Uses:
    """Returns what a function refers to, after checking its body. If it is `kept` unchanged, the
    result is memoized."""
    uses: Uses | None = function.analyses.get("uses") if kept else None
    if uses is None:
        uses = _FunctionLint(function, where).check()
    if kept:
        function.analyses["uses"] = uses
    return uses


def is_name(text: str) -> bool:
    """Returns whether a string can be the name of a variable, argument or method."""
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
        """Returns what the function refers to. Raises GraphError if it is malformed."""
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
        kinds = [_KINDS.index(parameter.kind) for parameter in parameters]
        if kinds != sorted(kinds) or kinds.count(1) > 1 or kinds.count(3) > 1:
            raise self._wrong("parameters of another order than positions, *, names, **")
        defaults = [bool(p.default) for p in parameters if not p.kind]
        if defaults != sorted(defaults):
            raise self._wrong("a parameter without a default follows one with a default")
        for parameter in parameters:
            self._argument(parameter.default)

    def _block(self, block: Block) -> None:
        """Checks a block; its definitions go out of scope at its end."""
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
                raise self._wrong("the node occurs twice")
            self._nodes.add(node)
            self._arguments(node)
            if not all(inner.nodes for inner in node.blocks):
                raise self._wrong("a block is empty; it ends with an `output` node")
            if node.op not in _OPERATIONS:
                raise self._wrong(f"there is no operation {node.op!r}")
            problem = (
                _wrong_arguments(node) or _wrong_target(node, self.uses) or _wrong_blocks(node)
            )
            if problem:
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
            if not is_name(name) and name not in SPREAD:
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
            elif is_symbolic(leaf):
                self.uses.choices.append(_shown(self.node))
            elif kind not in PLAIN:
                raise self._wrong(no_constant(leaf))

    def _users(self) -> None:
        """Checks that all recorded users of a value use it."""
        for value in self._all:
            for user in value.users:
                if user not in self._nodes:
                    self.node = user
                    raise self._wrong(f"is a user of {value}, but is not in the function")
                if value not in user.inputs:
                    self.node = user
                    raise self._wrong(f"is listed as a user of {value}, but does not use it")


def _shown(node: Node) -> str:
    return f"{node} ({node.line})" if node.line else repr(node)


# The form of each operation: these functions return what is wrong, or ""

_OPERATIONS = frozenset(get_args(Op))
_ARGUMENTS = {  # the number of positional arguments, and the error message
    "get_attr": (0, "it takes no arguments"),
    "set_attr": (1, "it takes one argument"),
    "unpack": (1, "it takes one argument"),
    "if": (1, "it takes one argument, the condition"),
    "with": (1, "it takes one argument, the context"),
}
_OUTPUTS = {"get_attr": 1, "list": 1, "dict": 1, "set_attr": 0, "raise": 0, "output": 0}
_BLOCKS = {"if": 2, "with": 1, "loop": 1}


def _wrong_arguments(node: Node) -> str:
    count, text = _ARGUMENTS.get(node.op, (None, ""))
    if count is not None and (len(node.args) != count or node.kwargs):
        return text
    if node.op in ("list", "output") and node.kwargs:
        return "its arguments have no names"
    if node.op == "dict" and (node.kwargs or len(node.args) % 2):
        return "it takes keys and values in turn"
    if node.op == "loop" and (node.kwargs or len(node.args) < 2):
        return "it takes the trip count, the condition, and the carried values"
    if node.op == "call_method" and not node.args:
        return "a method needs a receiver as first argument"
    return ""


def _wrong_target(node: Node, uses: Uses) -> str:
    """Returns what is wrong with the target of a node, or records it in `uses`."""
    target = node.target
    match node.op:
        case "call_module" | "get_attr":
            if node.path and not _PATH.fullmatch(node.path):
                return f"{node.path!r} is not a path"
            if not is_name(node.method):
                return f"{node.method!r} is not a method"
            used = uses.modules if node.op == "call_module" else uses.gets
        case "call_method":
            return "" if is_name(target) else f"{target!r} is not a method"
        case "set_attr":
            if not is_name(target):
                return f"{target!r} is not an attribute of this unit itself"
            used = uses.sets
        case "call_function" if target.startswith(":") and is_name(target[1:]):
            target, used = target[1:], uses.functions
        case "call_function" | "raise":
            if not is_target(target):
                return f"{target!r} is not a target; write 'module:qualname'"
            used = uses.calls
        case _:
            return ""
    if target not in used:
        used[target] = _shown(node)
    return ""


def _wrong_blocks(node: Node) -> str:
    count = _BLOCKS.get(node.op, 0)
    if len(node.blocks) != count:
        return f"it has {len(node.blocks)} blocks, not {count}" if count else "it has blocks"
    outputs = _OUTPUTS.get(node.op, len(node.outputs))
    if len(node.outputs) != outputs:
        return f"it has {len(node.outputs)} outputs, not {outputs}"
    if node.op == "loop":
        return _wrong_loop(node)
    for block in node.blocks:
        if block.inputs:
            return "its blocks take no inputs"
        if len(block.results) != len(node.outputs):
            return f"a block returns {len(block.results)} results for {len(node.outputs)} outputs"
    return ""


def _wrong_loop(node: Node) -> str:
    carried, block = len(node.args) - 2, node.blocks[0]
    for count, text in ((len(block.inputs), "takes {} inputs"),
                        (len(block.results), "returns {} results")):  # fmt: skip
        if count != carried + 1:
            return f"its block {text.format(count)}; with {carried} carried, it must be one more"
    if len(node.outputs) != carried:
        return f"it has {len(node.outputs)} outputs, but {carried} carried values"
    return ""
