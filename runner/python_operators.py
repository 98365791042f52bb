"""The operators of Python: one table of their names, signs, syntax and precedence.

The function of `operator` for `&` is `and_`. Special methods are named by the stem of that name:
`__and__`, reflected `__rand__`, in place `__iand__`, whose function is `operator.iand`.
"""

import ast
import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, final


@final
class Precedence(IntEnum):
    """The precedence of expressions, from loosest to tightest."""

    TUPLE = 0
    TERNARY = 1
    OR = 2
    AND = 3
    NOT = 4
    COMPARE = 5
    BIT_OR = 6
    BIT_XOR = 7
    BIT_AND = 8
    SHIFT = 9
    SUM = 10
    PRODUCT = 11
    UNARY = 12
    POWER = 13
    NUMBER = 14
    ATOM = 15

    @property
    def of_left(self) -> int:
        """The lowest precedence of a left operand without parentheses: comparisons do not chain."""
        return self + (self in (Precedence.COMPARE, Precedence.POWER))

    @property
    def of_right(self) -> int:
        """The lowest precedence of a right operand without parentheses; powers are
        right-associative."""
        if self is Precedence.POWER:
            return Precedence.UNARY
        return self + (self not in (Precedence.OR, Precedence.AND))


@final
@dataclass(frozen=True, slots=True)
class PythonOperator:
    """An operator: its function in `operator`, its sign in source, and its class in `ast`."""

    name: str
    sign: str
    syntax: type[ast.operator | ast.unaryop | ast.cmpop]
    precedence: Precedence

    @property
    def stem(self) -> str:
        """The name without a trailing underscore, as in special methods."""
        return self.name.rstrip("_")

    @property
    def function(self) -> Callable[..., Any]:
        found: Callable[..., Any] = getattr(operator, self.name)
        return found


BINARY = (
    PythonOperator("add", "+", ast.Add, Precedence.SUM),
    PythonOperator("sub", "-", ast.Sub, Precedence.SUM),
    PythonOperator("mul", "*", ast.Mult, Precedence.PRODUCT),
    PythonOperator("matmul", "@", ast.MatMult, Precedence.PRODUCT),
    PythonOperator("truediv", "/", ast.Div, Precedence.PRODUCT),
    PythonOperator("floordiv", "//", ast.FloorDiv, Precedence.PRODUCT),
    PythonOperator("mod", "%", ast.Mod, Precedence.PRODUCT),
    PythonOperator("pow", "**", ast.Pow, Precedence.POWER),
    PythonOperator("lshift", "<<", ast.LShift, Precedence.SHIFT),
    PythonOperator("rshift", ">>", ast.RShift, Precedence.SHIFT),
    PythonOperator("and_", "&", ast.BitAnd, Precedence.BIT_AND),
    PythonOperator("xor", "^", ast.BitXor, Precedence.BIT_XOR),
    PythonOperator("or_", "|", ast.BitOr, Precedence.BIT_OR),
)
COMPARISONS = (
    PythonOperator("lt", "<", ast.Lt, Precedence.COMPARE),
    PythonOperator("le", "<=", ast.LtE, Precedence.COMPARE),
    PythonOperator("eq", "==", ast.Eq, Precedence.COMPARE),
    PythonOperator("ne", "!=", ast.NotEq, Precedence.COMPARE),
    PythonOperator("gt", ">", ast.Gt, Precedence.COMPARE),
    PythonOperator("ge", ">=", ast.GtE, Precedence.COMPARE),
)
IDENTITY = (
    PythonOperator("is_", "is", ast.Is, Precedence.COMPARE),
    PythonOperator("is_not", "is not", ast.IsNot, Precedence.COMPARE),
)
NEGATION = PythonOperator("not_", "not ", ast.Not, Precedence.NOT)
UNARY = (
    PythonOperator("neg", "-", ast.USub, Precedence.UNARY),
    PythonOperator("pos", "+", ast.UAdd, Precedence.UNARY),
    PythonOperator("invert", "~", ast.Invert, Precedence.UNARY),
)

# By the name of the function in `operator`
INFIX: Mapping[str, PythonOperator] = {
    found.name: found for found in (*BINARY, *COMPARISONS, *IDENTITY)
}
PREFIX: Mapping[str, PythonOperator] = {
    **{found.name: found for found in (*UNARY, NEGATION)},
    "inv": UNARY[-1],
}
AUGMENTED: Mapping[str, PythonOperator] = {f"i{found.stem}": found for found in BINARY}

# By the name of a special method; of Python 2 is `/` of tensors
METHODS: Mapping[str, PythonOperator] = {
    **{f"__{found.stem}__": found for found in (*BINARY, *COMPARISONS, *UNARY)},
    "__div__": INFIX["truediv"],
}
REFLECTED: Mapping[str, PythonOperator] = {
    **{f"__r{found.stem}__": found for found in BINARY},
    "__rdiv__": INFIX["truediv"],
}
OF_ONE: Mapping[str, Callable[..., Any]] = {  # all that take no other operand
    **{f"__{found.stem}__": found.function for found in UNARY},
    "__abs__": abs, "__floor__": math.floor, "__ceil__": math.ceil, "__trunc__": math.trunc,
}  # fmt: skip


def function_of(method: str) -> str:
    """Returns the name of the function of `operator` for a special method, reflected or not
    ("__radd__", "__getitem__"); "" if there is none."""
    found = METHODS.get(method) or REFLECTED.get(method)
    if found is not None:
        return found.name
    stem = method[2:-2]
    return stem if method == f"__{stem}__" and hasattr(operator, stem) else ""
