"""Prints classes and constructor calls."""

from collections.abc import Sequence
from typing import final

from torch import nn

from runner.errors import GraphError
from runner.graph.codegen.classes.classes import Class, arguments
from runner.graph.codegen.classes.initializer_statements import Filling, Loop, fill
from runner.graph.codegen.expressions import line_breaking as layout
from runner.graph.codegen.expressions.expression_trees import (
    ExpressionTree,
    LocalName,
    New,
    ParameterSlot,
    Repeat,
    Statement,
    compress,
)
from runner.graph.codegen.expressions.expressions import Writer, assignment
from runner.graph.codegen.expressions.imports import Imports, is_name
from runner.graph.codegen.expressions.line_breaking import STEP, Code, lay_out
from runner.graph.ir.argument import text_literal
from runner.graph.ir.signature import locate
from runner.graph.ir.unit import Call
from runner.python_operators import Precedence

_INSIDE = " " * (2 * STEP)


@final
class Constructors:
    """A printer of classes, and of the expressions that construct objects."""

    def __init__(self, imports: Imports) -> None:
        self._imports = imports
        self._writer = Writer(imports, self._leaf)

    def _leaf(self, tree: ExpressionTree) -> Code:
        kind = type(tree)
        if kind is New:
            args, kwargs = arguments(tree)
            return layout.call(tree.cls.name, self._writer.arguments(args, kwargs))
        if kind is LocalName:
            return Code(tree.text)
        if kind is ParameterSlot:
            return Code(tree.name)
        if kind is Repeat:
            each = self._writer.code(tree.tree)
            times = Code(f"for _ in range({tree.count})")
            return layout.bracket("*[" if tree.starred else "[", [each, times], "]", comma=False)
        raise GraphError(f"{tree!r} cannot be written as source; resolve symbolic choices first.")

    def code(self, tree: ExpressionTree) -> Code:
        """Returns a tree as an expression."""
        return self._writer.code(compress(tree))

    def lines(self, made: Class) -> list[str]:
        """Returns the lines of a class."""
        blocks = [block for block in (self._constructor(made), *made.functions) if block]
        margin = " " * STEP
        body = [line for block in blocks for line in ["", *block]][1:]
        head = f"class {made.name}({self._imports.base(made.base)}):"
        return [head, *(body or [f"{margin}pass"])]

    def constructor(self, made: Class) -> list[str]:
        """Returns the lines of the constructor of a class, without indentation."""
        return [line[STEP:] for line in self._constructor(made)]

    def _constructor(self, made: Class) -> Sequence[str]:
        steps = made.steps
        if len(steps) == 1 and not made.inherits and not steps[0].tree.args:
            return []
        signature = [Code("self")]
        for parameter in made.parameters:
            note = f": {parameter.annotation}" if parameter.annotation else ""
            if "nn." in note:
                note = note.replace("nn.Module", self._imports.name("torch.nn:Module"))
            if not parameter.default:
                signature.append(Code(f"{parameter.name}{note}"))
                continue
            sign = " = " if note else "="
            value = self._writer.code(parameter.default[0])
            signature.append(value.around(f"{parameter.name}{note}{sign}", "", Precedence.TUPLE))
        lines = lay_out("def ", layout.call("__init__", signature), ":", STEP)
        for step in steps:
            lines += self._step(made, step)
        return lines

    def _step(self, made: Class, step: Statement) -> list[str]:
        match step.kind:
            case "super" if made.inherits and not _is_plain(made):
                return [f"{_INSIDE}{self._imports.name('torch.nn:Module')}.__init__(self)"]
            case "super" if made.inherits:
                return [f"{_INSIDE}super().__init__()"]
            case "super":
                base = Call(f"torch.nn:{made.base[9:]}", step.tree.args, step.tree.kwargs)
                call = compress(base)
                items = self._writer.arguments(call.args, call.kwargs)
                return lay_out("", layout.call("super().__init__", items), "", 2 * STEP)
            case "buffer":
                args = (LocalName("self"), step.name, step.tree)
                return self._statement("", Call(".register_buffer", args, step.options))
            case "parameter" if step.tree is None or not is_name(step.name):
                args = (LocalName("self"), step.name, step.tree)
                return self._statement("", Call(".register_parameter", args))
            case "child" if not is_name(step.name):
                return self._statement(
                    "", Call(".add_module", (LocalName("self"), step.name, step.tree))
                )
            case "line" if type(step.tree) is Loop:
                return self.loop(step.tree, 2 * STEP)
            case "line":
                return self._statement(step.name, step.tree)
        before, code = assignment("self", step.name, self.code(step.tree))
        return lay_out(before, code, "", 2 * STEP)

    def _statement(self, before: str, tree: ExpressionTree) -> list[str]:
        return lay_out(before, self.code(tree), "", 2 * STEP)

    def loop(self, loop: Loop, indent: int) -> list[str]:
        """Returns the loop that initializes the weights of many modules."""
        margin = " " * indent
        lines = [f"{margin}for module in {loop.owner}.modules():"]
        word = "if"
        for rule in loop.rules:
            names = [self._imports.name(target) for target in rule.classes]
            classes = names[0] if len(names) == 1 else f"({', '.join(names)})"
            lines.append(f"{margin}{' ' * STEP}{word} isinstance(module, {classes}):")
            for filling in rule.fillings:
                lines += self._fill(filling, indent + 2 * STEP)
            word = "elif"
        return lines

    def _fill(self, filling: Filling, indent: int) -> list[str]:
        place = f"module.{filling.name}"
        if not is_name(filling.name):
            place = f"getattr(module, {text_literal(filling.name)})"
        lines = []
        if filling.optional:
            lines.append(f"{' ' * indent}if {place} is not None:")
            indent += STEP
        return [*lines, *lay_out("", self.code(fill(place, filling.call)), "", indent)]


def _is_plain(made: Class) -> bool:
    """Returns whether a class is merged with one that derives from nn.Module alone."""
    return made.merged and locate(made.base).__bases__ == (nn.Module,)
