"""Prints nodes, for readers and for golden tests.

def forward(%x):
    %x_1 = self.conv1(%x)
    %1 = torch.cat([%x_1, %x], 1)
    return %1
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import final

from runner.graph.ir.argument import Argument, Call, Made, Ref, Stored, text_literal
from runner.graph.ir.node import Block, Node, Parameter, Value

MARGIN = "    "


def dotted(target: str) -> str:
    """Returns a target in Python syntax: "torch.cat" for "torch:cat"."""
    return target.removeprefix("builtins:").replace(":", ".")


@final
class NodePrinter:
    """A printer of nodes. Values are printed by their names, with a number where names repeat."""

    def __init__(self) -> None:
        self._names: dict[Value, str] = {}
        self._taken: set[str] = set()
        self._unnamed = 0

    def name(self, value: Value) -> str:
        """Returns the printed name of a value."""
        if value not in self._names:
            name, number = value.name, 0
            if not name:
                name = str(self._unnamed)
                self._unnamed += 1
            free = name
            while free in self._taken:
                number += 1
                free = f"{name}_{number}"
            self._taken.add(free)
            self._names[value] = f"%{free}"
        return self._names[value]

    # Arguments

    def argument(self, argument: Argument) -> str:
        """Returns an argument as text."""
        kind = type(argument)
        if kind is Value:
            return self.name(argument)
        if kind is str:
            return text_literal(argument)
        if kind is Ref:
            return dotted(argument.target)
        if kind is Stored:
            return f"stored {argument.name}"
        if kind is Call:
            given = self.arguments(argument.args, argument.kwargs.items())
            return f"{dotted(argument.target)}({given})"
        if isinstance(argument, Made):
            return NodePrinter().made(argument)
        if argument is ...:
            return "..."
        if kind is tuple or kind is list or kind is dict or kind is slice:
            return self._nested(argument)
        return repr(argument)

    def made(self, unit: Made) -> str:
        """Returns the constructor call of a unit as text; its name if the call is unknown."""
        return unit.name if unit.call is None else self.argument(unit.call)

    def _nested(self, argument: Argument) -> str:
        if isinstance(argument, slice):
            ends = (argument.start, argument.stop, argument.step)
            start, stop, step = ("" if end is None else self.argument(end) for end in ends)
            return f"{start}:{stop}:{step}" if step else f"{start}:{stop}"
        if isinstance(argument, dict):
            pairs = (f"{self.argument(k)}: {self.argument(v)}" for k, v in argument.items())
            return f"{{{', '.join(pairs)}}}"
        items = ", ".join(map(self.argument, argument))
        if isinstance(argument, list):
            return f"[{items}]"
        return f"({items},)" if len(argument) == 1 else f"({items})"

    def arguments(self, args: Sequence[Argument], kwargs: Iterable[tuple[str, Argument]]) -> str:
        """Returns the text between the parentheses of a call."""
        named = (f"{name}={self.argument(value)}" for name, value in kwargs)
        return ", ".join([*map(self.argument, args), *named])

    # Nodes

    def function(self, name: str, parameters: Sequence[Parameter], block: Block) -> Iterator[str]:
        """Yields the lines of a function."""
        written: list[str] = []
        for parameter, value in zip(parameters, block.inputs, strict=True):
            default = f" = {self.argument(parameter.default[0])}" if parameter.default else ""
            note = f": {parameter.annotation}" if parameter.annotation else ""
            if parameter.kind == "keyword" and "*" not in [text[:1] for text in written]:
                written.append("*")
            stars = parameter.kind if "*" in parameter.kind else ""
            written.append(f"{stars}{self.name(value)}{note}{default}")
        yield f"def {name}({', '.join(written)}):"
        yield from self._block(block, "return")

    def _block(self, block: Block, word: str) -> Iterator[str]:
        for node in block.nodes[:-1]:
            for line in self._node(node):
                yield MARGIN + line
        if block.results or word == "return":
            results = ", ".join(map(self.argument, block.results))
            yield f"{MARGIN}{word} {results}".rstrip()

    def _node(self, node: Node) -> Iterator[str]:
        text = self._text(node)
        inner = [[*self._inner(block)] for block in node.blocks]
        outputs = ", ".join(self._output(value) for value in node.outputs)
        yield f"{outputs} = {text}" if outputs else text
        for place, lines in enumerate(inner):
            if place:
                yield "else:"
            yield from lines

    def _inner(self, block: Block) -> Iterator[str]:
        if block.inputs:
            yield f"{MARGIN}for {', '.join(map(self.name, block.inputs))}:"
        yield from self._block(block, "->")

    def _output(self, value: Value) -> str:
        return f"{self.name(value)}: {value.spec}" if value.spec else self.name(value)

    def _text(self, node: Node) -> str:
        given = self.arguments(node.args, node.kwargs.items())
        match node.op:
            case "call_module":
                return f"self{'.' if node.path else ''}{node.target}({given})"
            case "call_function":
                return f"{dotted(node.target)}({given})"
            case "call_method":
                given = self.arguments(node.args[1:], node.kwargs.items())
                return f"{self.argument(node.args[0])}.{node.target}({given})"
            case "get_attr":
                return f"self.{node.target}"
            case "set_attr":
                return f"self.{node.target} = {given}"
            case "list":
                return f"[{given}]"
            case "dict":
                words = [self.argument(a) for a in node.args]
                pairs = zip(words[::2], words[1::2], strict=True)
                return f"{{{', '.join(f'{k}: {v}' for k, v in pairs)}}}"
            case "raise":
                return f"raise {dotted(node.target)}({given})"
        return f"{node.op} {given}{':' if node.blocks else ''}"
