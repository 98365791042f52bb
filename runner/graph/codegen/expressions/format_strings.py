"""f-strings: calls of `format` on a constant template, in the syntax of Python."""

from collections.abc import Sequence
from string import Formatter

from runner.graph.codegen.expressions.line_breaking import STEP, WIDTH, Code
from runner.graph.ir.argument import text_literal
from runner.python_operators import Precedence

_LONGEST = WIDTH - 4 * STEP  # a call of `format` can be broken into lines, an f-string cannot
_REFUSED = frozenset("\"'\\#\n")  # in an expression, before Python 3.12


def f_string(template: str, fields: Sequence[Code]) -> Code | None:
    """Returns `template.format(*fields)` as an f-string; None unless each field is used once, in
    order, and can be written in one."""
    try:
        parts = [*Formatter().parse(template)]
    except ValueError:
        return None
    names = [name for _, name, _, _ in parts if name is not None]
    in_order = [str(place) for place in range(len(fields))]
    if not fields or names not in (in_order, [""] * len(fields)) or '"' in template:
        return None
    if any("{" in (spec or "") for _, _, spec, _ in parts) or not all(map(_is_plain, fields)):
        return None
    text, rest = "", iter(fields)
    for literal, name, spec, conversion in parts:
        text += _escaped(literal)
        if name is not None:
            end = (f"!{conversion}" if conversion else "") + (f":{_escaped(spec)}" if spec else "")
            text += f"{{{next(rest).at(Precedence.TERNARY).text}{end}}}"
    return Code(f'f"{text}"') if len(text) <= _LONGEST else None


def _escaped(literal: str) -> str:
    """Returns text as it is written between the quotes of an f-string."""
    return text_literal(literal)[1:-1].replace("{", "{{").replace("}", "}}")


def _is_plain(field: Code) -> bool:
    """Returns whether an expression may stand in an f-string."""
    return _REFUSED.isdisjoint(field.text) and field.text[0] != "{" and "!" not in field.text
