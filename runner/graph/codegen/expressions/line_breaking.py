"""Pretty-printing of Python source: parentheses and line breaking."""

from collections.abc import Sequence
from typing import final

from runner.python_operators import Precedence

WIDTH = 100
STEP = 4


@final
class Code:
    """An expression as text. `items`, if any, are the contents of the bracket, from `head` to
    `tail`, at which a line is broken if it is too long."""

    __slots__ = ("comma", "head", "items", "level", "tail", "text")

    def __init__(
        self,
        text: str,
        level: int = Precedence.ATOM,
        head: str = "",
        items: "Sequence[Code]" = (),
        tail: str = "",
        comma: bool = True,
    ) -> None:
        self.text = text
        self.level = level
        self.head = head
        self.items = items
        self.tail = tail
        self.comma = comma  # whether commas separate the items, and may follow the last

    def around(self, before: str, after: str, level: int) -> "Code":
        """Returns the expression with text before and after it, and another precedence."""
        text = f"{before}{self.text}{after}"
        if not self.items:
            return Code(text, level)
        head, tail = before + self.head, self.tail + after
        return Code(text, level, head, self.items, tail, self.comma)

    def at(self, level: int) -> "Code":
        """Returns the expression, in parentheses if its precedence is lower than `level`."""
        return self if self.level >= level else self.around("(", ")", Precedence.ATOM)

    def __repr__(self) -> str:
        return f"Code({self.text!r})"


def bracket(head: str, items: Sequence[Code], tail: str, *, comma: bool = True) -> Code:
    """Returns `head items... tail`, for example a call. A sole list or dict is broken with it."""
    text = f"{head}{(', ' if comma else ' ').join([item.text for item in items])}{tail}"
    if len(items) == 1 and items[0].head in _HUGGED:
        only = items[0]
        return Code(
            text, Precedence.ATOM, head + only.head, only.items, only.tail + tail, only.comma
        )
    return Code(text, Precedence.ATOM, head, items, tail, comma)


_HUGGED = ("[", "{", "([", "({")


def call(function: str, items: Sequence[Code]) -> Code:
    """Returns `function(items, ...)`."""
    return bracket(f"{function}(", items, ")")


def method(receiver: Code, name: str, items: Sequence[Code]) -> Code:
    """Returns `receiver.name(items, ...)`."""
    before = receiver.at(Precedence.ATOM)
    if items or not before.items:
        return bracket(f"{before.text}.{name}(", items, ")")
    return before.around("", f".{name}()", Precedence.ATOM)


def attribute(receiver: Code, name: str) -> Code:
    """Returns `receiver.name`."""
    return receiver.at(Precedence.ATOM).around("", f".{name}", Precedence.ATOM)


def subscript(receiver: Code, index: Code) -> Code:
    """Returns `receiver[index]`."""
    before = receiver.at(Precedence.ATOM)
    if before.items:
        return before.around("", f"[{index.text}]", Precedence.ATOM)
    return Code(f"{before.text}[{index.text}]")


def keyword(name: str, value: Code) -> Code:
    """Returns `name=value`."""
    return value.at(Precedence.TERNARY).around(f"{name}=", "", Precedence.TUPLE)


def infix(left: Code, sign: str, right: Code, level: Precedence) -> Code:
    """Returns `left sign right`."""
    left, right = left.at(level.of_left), right.at(level.of_right)
    if right.items:
        return right.around(f"{left.text} {sign} ", "", level)
    return left.around("", f" {sign} {right.text}", level)


def prefix(sign: str, value: Code, level: int) -> Code:
    """Returns `sign value`, for example `-x` or `not x`."""
    return value.at(level).around(sign, "", level)


def ternary(condition: Code, then: Code, other: Code) -> Code:
    """Returns `then if condition else other`."""
    text = f" if {condition.at(Precedence.OR).text} else {other.at(Precedence.TERNARY).text}"
    return then.at(Precedence.OR).around("", text, Precedence.TERNARY)


def tuple_of(items: Sequence[Code]) -> Code:
    """Returns a tuple without parentheses, unless it is empty."""
    if not items:
        return Code("()")
    text = ", ".join([item.at(Precedence.TERNARY).text for item in items])
    return Code(text + "," if len(items) == 1 else text, Precedence.TUPLE)


def lay_out(before: str, code: Code, after: str, indent: int) -> list[str]:
    """Returns the lines of `before code after`, broken at brackets if one line is too long."""
    margin = " " * indent
    line = f"{margin}{before}{code.text}{after}"
    if len(line) <= WIDTH or not code.items:
        return [line]
    first = f"{margin}{before}{code.head}"
    last = f"{margin}{code.tail}{after}"
    comma = "," if code.comma else ""
    inner = f"{margin}{' ' * STEP}{f'{comma} '.join([item.text for item in code.items])}"
    if len(inner) <= WIDTH:
        return [first, inner, last]
    lines = [first]
    for item in code.items:
        lines += lay_out("", item, comma, indent + STEP)
    lines.append(last)
    return lines
