"""What is known of the source of a function before it is known how imports are called."""

import weakref
from collections.abc import Iterator
from typing import final
from weakref import WeakKeyDictionary

from runner.graph.codegen.control_flow.early_exits import with_exits
from runner.graph.codegen.control_flow.jumps import BREAK, CONTINUE, RETURN
from runner.graph.codegen.functions.expression_folding import Folding
from runner.graph.codegen.functions.statements import Printer
from runner.graph.codegen.functions.value_expressions import Access
from runner.graph.codegen.imports import Imports, as_name
from runner.graph.ir.function import Function
from runner.graph.ir.node import Argument, Block, Node, Value
from runner.graph.ir.unit import Call, Ref

# Builtins that are written for other things than calls of them.
_IMPLIED = frozenset(
    {
        *("range", "enumerate", "zip", "float", "complex", "getattr", "setattr", "slice"),
        "CONSTANTS",
    }
)


@final
class Draft:
    """What is known of a function before it is known how its imports and units are called.

    It keeps texts, and no node: what it remembers ends with the function.
    """

    def __init__(self, function: Function) -> None:
        self._function = weakref.ref(function)
        folding = Folding(with_exits(function))
        self._folding: Folding | None = folding  # until the first text is written
        self.targets: dict[str, None] = {}  # that it imports
        self.paths: dict[str, None] = {}  # below `self`
        self.parameters = [as_name(parameter.name) for parameter in function.parameters]
        for node in folding.function.block.walk():
            if node in folding.used or node.op == "output":
                self._note(node)
        for parameter in function.parameters:
            self.targets.update(dict.fromkeys(_targets(parameter.default)))
        self._texts: dict[tuple[object, ...], list[str]] = {}

    def _note(self, node: Node) -> None:
        if node.op in ("call_function", "raise") and not _is_written_plainly(node.target):
            self.targets[node.target] = None
        if node.op in ("call_module", "get_attr"):
            self.paths[node.path] = None
        self.targets.update(dict.fromkeys(_targets(node.args)))
        if node.kwargs:
            self.targets.update(dict.fromkeys(_targets([*node.kwargs.values()])))

    def lines(self, imports: Imports, access: Access, first: str) -> list[str]:
        """The lines of the `def`. `first` is "self" for a method, else ""."""
        called = tuple([imports.name(t) for t in self.targets if t[0] != ":"])
        key = (first, called, tuple([access(path) for path in self.paths]))
        if key not in self._texts:
            reserved = {name.partition(".")[0] for name in called} | _IMPLIED | {first}
            reserved |= {as_name(t[1:]) for t in self.targets if t[0] == ":"}
            self._texts[key] = self._write(imports, access, reserved, first)
        return self._texts[key]

    def _write(self, imports: Imports, access: Access, reserved: set[str], first: str) -> list[str]:
        function = self._function()
        assert function is not None, "the graph that is written holds its functions"
        folding = self._folding or Folding(with_exits(function))
        self._folding = None
        tails = frozenset(_tails(folding.function.block, folding))
        return Printer(folding, tails, imports, access, reserved).function(first)


_drafts: WeakKeyDictionary[Function, Draft] = WeakKeyDictionary()


def draft(function: Function, *, kept: bool) -> Draft:
    """The draft of a function; remembered for one that nobody may change any more."""
    if not kept:
        return Draft(function)
    known = _drafts.get(function)
    if known is None:
        known = _drafts[function] = Draft(function)
    return known


def _is_written_plainly(target: str) -> bool:
    """Whether a call is written without the name of the function."""
    return target in (RETURN, BREAK, CONTINUE) or (
        target.startswith("operator:") and target[9:] in _PLAIN
    )


_PLAIN = frozenset(
    {
        *("add", "sub", "mul", "truediv", "floordiv", "mod", "matmul", "pow", "lshift", "rshift"),
        *("and_", "xor", "or_", "eq", "ne", "lt", "le", "gt", "ge", "is_", "is_not", "neg", "pos"),
        *("invert", "inv", "not_", "contains", "getitem", "setitem", "delitem"),
    }
)


def _targets(argument: Argument) -> Iterator[str]:
    kind = type(argument)
    if kind is Ref:
        yield argument.target
    elif kind is Call:
        if argument.target[:1] != ".":
            yield argument.target
        yield from _targets(argument.args)
        yield from _targets([*argument.kwargs.values()])
    elif kind is tuple or kind is list:
        for item in argument:
            yield from _targets(item)
    elif kind is dict:
        yield from _targets([*argument, *argument.values()])
    elif kind is slice:
        yield from _targets((argument.start, argument.stop, argument.step))


def _tails(block: Block, folding: Folding, place: int = 0) -> Iterator[Node]:
    """The Ifs whose blocks can return: nothing but the return of their output is behind them."""
    result = block.results[place] if len(block.results) > place else None
    written = [n for n in block.nodes[:-1] if n in folding.used and n not in folding.copied]
    if not isinstance(result, Value) or not written or written[-1] is not result.node:
        return
    node = written[-1]
    if node.op != "if" or node in folding.ternary or node in folding.folded or result.name:
        return
    if len(result.users) == 1 and sum(value in folding.needed for value in node.outputs) == 1:
        yield node
        for inner in node.blocks:
            yield from _tails(inner, folding, node.outputs.index(result))
