"""Prints the values of a function as expressions."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import final

from runner.errors import GraphError
from runner.graph.codegen.expressions import line_breaking as layout
from runner.graph.codegen.expressions.expression_trees import key_of
from runner.graph.codegen.expressions.expressions import Writer, method_name, negation
from runner.graph.codegen.expressions.imports import Imports
from runner.graph.codegen.expressions.line_breaking import Code
from runner.graph.codegen.functions.expression_folding import Folding
from runner.graph.ir.node import Argument, Node, Value, producer
from runner.graph.ir.symbolic import symbolic_message
from runner.python_operators import COMPARISONS, IDENTITY, NEGATION, Precedence

Access = Callable[[str], str]  # path below `self` -> expression in the source
_BOOLEANS = frozenset(
    {
        *("operator:contains", "builtins:isinstance", "builtins:bool"),
        *(f"operator:{found.name}" for found in (NEGATION, *IDENTITY)),
    }
)

_COMPARISONS: dict[str, Callable[[int, int], bool]] = {
    f"operator:{compare.name}": compare.function for compare in COMPARISONS
}


@final
class Values:
    """A printer of the expressions in the statements of one function.

    `names` are those of the variables, `access` returns the expression for a path below `self`.
    """

    def __init__(
        self,
        folding: Folding,
        names: Mapping[Value, str],
        imports: Imports,
        access: Access,
    ) -> None:
        self._folding = folding
        self._live = folding.live
        self._names = names
        self._access = access
        self._instead: Mapping[Value, str] = {}  # values -> variables to read instead
        self.writer = Writer(imports, self.value)

    @contextmanager
    def reading(self, others: Mapping[Value, Value]) -> Iterator[None]:
        """Prints some values as others inside the block, whose variables hold them by then."""
        self._instead = {old: self._names[new] for old, new in others.items()}
        try:
            yield
        finally:
            self._instead = {}

    def value(self, value: object) -> Code:
        """Returns the variable that holds a value, or the expression folded in its place."""
        if not isinstance(value, Value):
            raise GraphError(f"{self._folding.function.name}: {symbolic_message(value)}")
        if value in self._instead:
            return Code(self._instead[value])
        node = value.node
        if node is not None and self._folding.is_inline(node):
            return self.expression(node)
        return Code(self._names[value])

    def expression(self, node: Node) -> Code:
        """Returns the output of a node as an expression. Raises GraphError for a statement."""
        match node.op:
            case "call_module":
                return self._call_module(node)
            case "call_function" if node.target[:1] == ":":
                arguments = self.writer.arguments(node.args, node.kwargs)
                return layout.call(self.writer.imports.name(node.target), arguments)
            case "call_function":
                if node.target == "operator:not_":
                    return negation(self.truth(node.args[0]))
                return self.writer.call(node.target, node.args, node.kwargs)
            case "call_method":
                return self.writer.method(node.target, node.args, node.kwargs)
            case "get_attr":
                return Code(self._access(node.target))
            case "list":
                return layout.bracket("[", self.writer.all(node.args), "]")
            case "dict":
                keys, values = node.args[::2], node.args[1::2]
                return Writer.pairs(self.writer.all(keys), self.writer.all(values))
            case "if":
                return self.ternary(node, truth=False)
        raise GraphError(
            f"{self._folding.function.name}: {node!r} cannot be written as an expression."
        )

    def _call_module(self, node: Node) -> Code:
        owner = self._access(node.path)
        if ":" in node.target or not node.path:
            owner = f"{owner}.{method_name(node.method)}"
        return layout.call(owner, self.writer.arguments(node.args, node.kwargs))

    def ternary(self, node: Node, *, truth: bool) -> Code:
        """Returns a conditional expression, simplified to `and`, `or` and `not` where these are
        the same."""
        then, other = (self._live.results(block)[0][1] for block in node.blocks)
        write = self.truth if truth else self.writer.code
        if word := self._folding.logical.get(node):
            return _both(write(node.args[0]), word, write(then if word == "and" else other))
        condition = self.truth(node.args[0])
        if truth or self.is_boolean(node.args[0]):
            first = write(node.args[0])
            if other is False:
                return first if then is True else _both(first, "and", write(then))
            if then is True:
                return _both(first, "or", write(other))
        if then is False and other is True:
            return negation(condition)
        return layout.ternary(condition, write(then), write(other))

    def truth(self, argument: Argument) -> Code:
        """Returns an argument as an expression with the same truth value."""
        node = producer(argument)
        if node is not None and node in self._folding.folded and node in self._folding.ternary:
            return self.ternary(node, truth=True)
        if node is not None and node in self._folding.folded and node.target == "builtins:bool":
            return self.truth(node.args[0])
        return self.writer.code(argument)

    def is_same(self, first: Argument, again: Argument, before: Mapping[Value, Argument]) -> bool:
        """Returns whether two arguments are the same expression once the values in `again` are
        replaced according to `before`."""
        kind = type(again)
        if kind is Value and again in before:
            earlier = before[again]
            return earlier is first or key_of(earlier) == key_of(first)
        if kind is Value and type(first) is bool:
            return self._compared(again.node, before) is first
        if kind is not type(first):
            return False
        if kind is tuple or kind is list:
            return len(first) == len(again) and all(
                self.is_same(one, two, before) for one, two in zip(first, again, strict=True)
            )
        if kind is not Value or first is again:
            return bool(key_of(first) == key_of(again))
        one, two = first.node, again.node
        return one in self._folding.folded and two in self._folding.folded and (
            (one.op, one.target) == (two.op, two.target)
            and self.is_same(self._parts(one), self._parts(two), before)
        )  # fmt: skip

    def _compared(self, node: Node | None, before: Mapping[Value, Argument]) -> bool | None:
        """Returns the result of a comparison of constant ints, values replaced by `before`; None
        for any other node."""
        if node is None or node not in self._folding.folded or node.target not in _COMPARISONS:
            return None
        one, other = (before.get(v, v) if type(v) is Value else v for v in node.args)
        if type(one) is not int or type(other) is not int:
            return None
        return _COMPARISONS[node.target](one, other)

    def _parts(self, node: Node) -> tuple[Argument, ...]:
        """Returns the arguments of a node, its keywords, and the results of its blocks."""
        results = [self._live.results(block)[0][1] for block in node.blocks]
        return (*node.args, *node.kwargs, *node.kwargs.values(), *results)

    def is_boolean(self, argument: Argument) -> bool:
        """Returns whether an argument is known to be a bool, not just used as a condition."""
        if type(argument) is bool:
            return True
        node = producer(argument)
        if node is None:
            return False
        if node in self._folding.ternary:
            results = [self._live.results(block)[0][1] for block in node.blocks]
            return all(self.is_boolean(part) for part in results)
        is_training = node.op == "get_attr" and node.target.rpartition(".")[2] == "training"
        return is_training or (node.op == "call_function" and node.target in _BOOLEANS)


def _both(left: Code, word: str, right: Code) -> Code:
    return layout.infix(left, word, right, Precedence.AND if word == "and" else Precedence.OR)
