"""The operators of Python that expressions overload, with their spelling and precedence."""

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

# Operator precedence, as in Python's grammar
ATOM, POWER, UNARY, COMPARISON = 15, 14, 13, 6
LEFT = {POWER: ATOM, COMPARISON: COMPARISON + 1}  # minimum of the left operand, if not the same
RIGHT = {POWER: UNARY}  # minimum of the right operand, if not one higher

SIGNS: Mapping[Callable[..., Any], tuple[str, int]] = {
    operator.lt: ("<", 6), operator.le: ("<=", 6), operator.eq: ("==", 6),
    operator.ne: ("!=", 6), operator.gt: (">", 6), operator.ge: (">=", 6),
    operator.or_: ("|", 7), operator.xor: ("^", 8), operator.and_: ("&", 9),
    operator.lshift: ("<<", 10), operator.rshift: (">>", 10),
    operator.add: ("+", 11), operator.sub: ("-", 11),
    operator.mul: ("*", 12), operator.matmul: ("@", 12), operator.truediv: ("/", 12),
    operator.floordiv: ("//", 12), operator.mod: ("%", 12),
    operator.neg: ("-", UNARY), operator.pos: ("+", UNARY), operator.invert: ("~", UNARY),
    operator.pow: ("**", POWER),
}  # fmt: skip

# Special methods, by name without the underscores
REFLECTED: Sequence[str] = ("add", "sub", "mul", "matmul", "truediv", "floordiv", "mod", "pow",
                            "lshift", "rshift", "and", "xor", "or")  # fmt: skip
COMPARED: Sequence[str] = ("lt", "le", "eq", "ne", "gt", "ge")
OF_ONE: Mapping[str, Callable[..., Any]] = {
    "neg": operator.neg, "pos": operator.pos, "invert": operator.invert, "abs": abs,
    "floor": math.floor, "ceil": math.ceil, "trunc": math.trunc,
}  # fmt: skip
