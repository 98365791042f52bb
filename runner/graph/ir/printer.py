"""Graphs as text, to be read and compared: units with their grade, class and constructor, and the
nodes of their functions.

    Net (graph)
        weight: parameter float32[8]
        conv1: torch.nn.Conv2d(3, 8, 3) (basic)

        def forward(%x):
            %x_1 = self.conv1(%x)
            %1 = torch.cat([%x_1, %x], 1)
            return %1
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, final

from runner.graph.codegen.expressions import text_literal
from runner.graph.ir.argument import Argument, Call, Made, Ref, Stored, Value

if TYPE_CHECKING:
    from runner.graph.ir.graph import Graph
    from runner.graph.ir.node import Block, Function, Node
    from runner.graph.ir.unit import Unit, Weight

_MARGIN = "    "


def graph_text(graph: "Graph") -> str:
    """A whole graph."""
    lines = [*_Units().unit(graph.root, "", "")]
    for function in graph.functions.values():
        lines += ["", *_Nodes().function(function)]
    lines += [f"tie {path} = {owner}" for path, owner in graph.ties]
    lines += [f"tensor {name}: {_tensor(value)}" for name, value in graph.tensors.items()]
    lines += [f"note {note}" for note in graph.notes]
    lines += [f"history {sentence}" for sentence in graph.history]
    return "\n".join(lines)


def function_text(function: "Function") -> str:
    """A function, one line for each node."""
    return "\n".join(_Nodes().function(function))


def _tensor(value: object) -> str:
    return f"{getattr(value, 'dtype', '')}{[*getattr(value, 'shape', ())]}".removeprefix("torch.")


@final
class _Units:
    """Writes units; one that stands in two places is written once."""

    def __init__(self) -> None:
        self._paths: dict[Unit, str] = {}

    def unit(self, unit: "Unit", name: str, path: str) -> Iterator[str]:
        """The lines of a unit and all below."""
        self._paths[unit] = path
        yield f"{name}{': ' if name else ''}{_made(unit)} ({unit.grade})"
        for line in self._inside(unit, path):
            yield f"{_MARGIN}{line}" if line else ""

    def _inside(self, unit: "Unit", path: str) -> Iterator[str]:
        nodes = _Nodes()
        yield from _weights("parameter", unit.parameters)
        yield from _weights("buffer", unit.buffers)
        for name, value in unit.attributes.items():
            yield f"{name} = {nodes.argument(value)}"
        for name, child in unit.children.items():
            yield from self._child(name, child, f"{path}.{name}" if path else name)
        for below, name, value in unit.edits:
            yield f"edit {below}.{name} = {nodes.argument(value)}".replace(" .", " ")
        for start in unit.starts:
            args = nodes.arguments(start.args, start.kwargs.items())
            yield f"start {self._place(start.unit)}.{start.name} {_dotted(start.target)}({args})"
        for hook in unit.hooked:
            args = nodes.arguments(hook.args, hook.kwargs.items())
            yield f"hooked {_dotted(hook.target)}({args})"
        for function in unit.functions.values():
            yield ""
            yield from _Nodes().function(function)

    def _child(self, name: str, child: "Unit | None", path: str) -> Iterator[str]:
        if child is None:
            yield f"{name}: None"
        elif child in self._paths:
            yield f"{name}: = {self._paths[child] or 'the model'}"
        else:
            yield from self.unit(child, name, path)

    def _place(self, unit: "Unit") -> str:
        return self._paths.get(unit, "?") or "self"


def _weights(kind: str, weights: "dict[str, Weight | None]") -> Iterator[str]:
    nodes = _Nodes()
    for name, weight in weights.items():
        if weight is None:
            yield f"{name}: {kind} None"
            continue
        start = "" if weight.start is None else f" = {nodes.argument(weight.start)}"
        frozen = "" if weight.requires_grad or kind == "buffer" else " frozen"
        kept = "" if weight.persistent else " not persistent"
        shape = ", ".join(map(nodes.argument, weight.shape))
        yield f"{name}: {kind} {weight.dtype}[{shape}]{frozen}{kept}{start}"


def _made(unit: Made) -> str:
    if unit.call is None:
        return unit.name
    return _Nodes().argument(unit.call)


def _dotted(target: str) -> str:
    return target.removeprefix("builtins:").replace(":", ".")


@final
class _Nodes:
    """Writes nodes. Values are called after their names; the same name gets a number."""

    def __init__(self) -> None:
        self._names: dict[Value, str] = {}
        self._taken: set[str] = set()
        self._unnamed = 0

    def name(self, value: Value) -> str:
        """How the text calls a value."""
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
        """An argument."""
        kind = type(argument)
        if kind is Value:
            return self.name(argument)
        if kind is str:
            return text_literal(argument)
        if kind is Ref:
            return _dotted(argument.target)
        if kind is Stored:
            return f"stored {argument.name}"
        if kind is Call:
            given = self.arguments(argument.args, argument.kwargs.items())
            return f"{_dotted(argument.target)}({given})"
        if isinstance(argument, Made):
            return _made(argument)
        if argument is ...:
            return "..."
        if kind is tuple or kind is list or kind is dict or kind is slice:
            return self._nested(argument)
        return repr(argument)

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
        """What stands between the parentheses of a call."""
        named = (f"{name}={self.argument(value)}" for name, value in kwargs)
        return ", ".join([*map(self.argument, args), *named])

    # Nodes

    def function(self, function: "Function") -> Iterator[str]:
        """The lines of a function."""
        parameters = []
        for parameter, value in zip(function.parameters, function.inputs, strict=True):
            default = f" = {self.argument(parameter.default[0])}" if parameter.default else ""
            note = f": {parameter.annotation}" if parameter.annotation else ""
            parameters.append(f"{self.name(value)}{note}{default}")
        yield f"def {function.name}({', '.join(parameters)}):"
        yield from self._block(function.block, "return")

    def _block(self, block: "Block", word: str) -> Iterator[str]:
        for node in block.nodes[:-1]:
            for line in self._node(node):
                yield _MARGIN + line
        if block.results or word == "return":
            results = ", ".join(map(self.argument, block.results))
            yield f"{_MARGIN}{word} {results}".rstrip()

    def _node(self, node: "Node") -> Iterator[str]:
        text = self._text(node)
        inner = [[*self._inner(block)] for block in node.blocks]
        outputs = ", ".join(self._output(value) for value in node.outputs)
        yield f"{outputs} = {text}" if outputs else text
        for place, lines in enumerate(inner):
            if place:
                yield "else:"
            yield from lines

    def _inner(self, block: "Block") -> Iterator[str]:
        if block.inputs:
            yield f"{_MARGIN}for {', '.join(map(self.name, block.inputs))}:"
        yield from self._block(block, "->")

    def _output(self, value: Value) -> str:
        return f"{self.name(value)}: {value.spec}" if value.spec else self.name(value)

    def _text(self, node: "Node") -> str:
        given = self.arguments(node.args, node.kwargs.items())
        match node.op:
            case "call_module":
                return f"self{'.' if node.path else ''}{node.target}({given})"
            case "call_function":
                return f"{_dotted(node.target)}({given})"
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
                return f"raise {_dotted(node.target)}({given})"
        return f"{node.op} {given}{':' if node.blocks else ''}"
