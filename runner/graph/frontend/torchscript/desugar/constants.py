"""Constant folding: TorchScript works out constants by its own rules (`2 ** 3` is 8.0 to it), so
Python does it before, and what TorchScript would still take for constant is hidden from it.

An operand is hidden as `[n][0]`, which TorchScript leaves alone and lowering takes for `n`.
"""

import ast
import builtins
import math
import operator
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, final

from runner.graph.frontend.torchscript.desugar.kinds import Bound, Kinds
from runner.graph.frontend.torchscript.desugar.source import UNKNOWN, FunctionSource, at

_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul,
    ast.Div: operator.truediv, ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod,
    ast.Pow: operator.pow, ast.LShift: operator.lshift, ast.RShift: operator.rshift,
    ast.BitAnd: operator.and_, ast.BitOr: operator.or_, ast.BitXor: operator.xor,
}  # fmt: skip
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.USub: operator.neg, ast.UAdd: operator.pos, ast.Invert: operator.invert,
    ast.Not: operator.not_,
}  # fmt: skip
_COMPARED: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le,
    ast.Gt: operator.gt, ast.GtE: operator.ge,
}  # fmt: skip
_FUNCTIONS = frozenset(
    {
        abs, bin, bool, chr, complex, divmod, float, hex, int, len, max, min, oct, ord, pow, round,
        str, sum, any, all, sorted,
    }
)  # fmt: skip
_HIDDEN = frozenset({round, min, max, str, divmod, pow, int, float, hash, abs, sum, complex})
_SCALARS = (bool, int, float, str, type(None))
_LARGEST = 1 << 12  # of exponents, shifts and repetitions that are worked out
_WIDE = 1 << 31


def fold_constants(source: FunctionSource) -> None:
    """Rewrites what consists of constants to its value, and hides what may still become one."""
    folded = _Folded(source)
    for statement in source.definition.body:
        folded.visit(statement)
    _Hidden(source).visit(source.definition)


class _Annotated(ast.NodeTransformer):
    """Leaves annotations and inner functions alone."""

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        node.target = self.visit(node.target)
        node.value = None if node.value is None else self.visit(node.value)
        return node

    def visit_arguments(self, node: ast.arguments) -> ast.AST:
        return node

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        return node


@final
class _Folded(_Annotated):
    """Replaces the largest constant expressions by their values."""

    def __init__(self, source: FunctionSource) -> None:
        self.source = source
        self.kinds = Kinds(source)

    def visit(self, node: ast.AST) -> Any:
        if not isinstance(node, ast.expr) or isinstance(node, ast.Constant | ast.Name):
            return super().visit(node)
        value = self._value(node)
        if type(value) not in _SCALARS or isinstance(node, ast.Attribute):
            return super().visit(node)
        return self._literal(value, node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        self.generic_visit(node)
        if not isinstance(node.op, ast.UAdd):
            return node
        if self.kinds.of(node.operand) not in ("int", "float"):
            self.source.refuse(node, "TorchScript has no unary +. Leave it out")
        return node.operand

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        """TorchScript puts the parts together for `str.format`, without a look at the braces."""
        self.generic_visit(node)
        for part in node.values:
            if isinstance(part, ast.Constant) and isinstance(part.value, str):
                part.value = part.value.replace("{", "{{").replace("}", "}}")
        return node

    def _literal(self, value: Any, node: ast.expr) -> ast.expr:
        """A value, written as TorchScript can read it."""
        if isinstance(value, float) and not math.isfinite(value):
            text = ast.Call(ast.Name("float", ast.Load()), [ast.Constant(str(value))], [])
            return at(text, node)
        if isinstance(value, int) and not -(1 << 63) < value < 1 << 63:
            self.source.refuse(node, f"{value} has more than 64 bits, which TorchScript cuts off")
        if isinstance(value, bool | str | None) or math.copysign(1, value) > 0:
            return at(ast.Constant(value), node)
        return at(ast.UnaryOp(ast.USub(), ast.Constant(-value)), node)

    def _value(self, node: ast.expr) -> Any:
        """The value of an expression of constants; UNKNOWN for all others."""
        name = f"_{type(node).__name__.lower()}"
        own: Callable[[Any], Any] | None = getattr(self, name, None)
        if own is None:
            return UNKNOWN
        try:
            return own(node)
        except (ArithmeticError, TypeError, ValueError, LookupError, AttributeError):
            return UNKNOWN  # it raises, in Python too, when it is run

    def _constant(self, node: ast.Constant) -> Any:
        return node.value

    def _attribute(self, node: ast.Attribute) -> Any:
        """A number of a module: `math.pi`."""
        value = self.source.value_of(node)
        owner = self.source.value_of(node.value)
        return value if isinstance(owner, ModuleType) and type(value) in _SCALARS else UNKNOWN

    def _all(self, nodes: list[ast.expr]) -> list[Any]:
        values = [self._value(node) for node in nodes]
        if UNKNOWN in values:
            raise TypeError
        return values

    def _tuple(self, node: ast.Tuple) -> Any:
        return tuple(self._all(node.elts))

    def _list(self, node: ast.List) -> Any:
        return self._all(node.elts)

    def _unaryop(self, node: ast.UnaryOp) -> Any:
        (value,) = self._all([node.operand])
        return _UNARY[type(node.op)](value)

    def _binop(self, node: ast.BinOp) -> Any:
        left, right = self._all([node.left, node.right])
        large = isinstance(right, int) and abs(right) > _LARGEST
        long = isinstance(left, str | list | tuple) and isinstance(right, int)
        power = isinstance(node.op, ast.Pow | ast.LShift)
        if (power and large) or (isinstance(node.op, ast.Mult) and (long or type(right) is str)):
            return UNKNOWN
        return _BINARY[type(node.op)](left, right)

    def _compare(self, node: ast.Compare) -> Any:
        left, *others = self._all([node.left, *node.comparators])
        for op, right in zip(node.ops, others, strict=True):
            if not _COMPARED[type(op)](left, right):
                return False
            left = right
        return True

    def _subscript(self, node: ast.Subscript) -> Any:
        owner, index = self._all([node.value, node.slice])
        return owner[index]

    def _call(self, node: ast.Call) -> Any:
        if any(isinstance(a, ast.Starred) for a in node.args) or any(
            k.arg is None for k in node.keywords
        ):
            return UNKNOWN
        function = self._function(node.func)
        if function is UNKNOWN:
            return UNKNOWN
        args = self._all(node.args)
        named = self._all([k.value for k in node.keywords])
        return function(*args, **dict(zip([str(k.arg) for k in node.keywords], named, strict=True)))

    def _function(self, node: ast.expr) -> Any:
        """A function without effects, or a method of a constant text."""
        value = self.source.value_of(node)
        if value is not UNKNOWN:
            return value if _is_known(value) else UNKNOWN
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Constant | ast.JoinedStr):
            text = self._value(node.value)
            return getattr(text, node.attr) if isinstance(text, str) else UNKNOWN
        return UNKNOWN

    def _joinedstr(self, node: ast.JoinedStr) -> Any:
        return "".join(self._all(node.values))

    def _formattedvalue(self, node: ast.FormattedValue) -> Any:
        (value,) = self._all([node.value])
        spec = "" if node.format_spec is None else self._value(node.format_spec)
        if spec is UNKNOWN:
            return UNKNOWN
        turned = {-1: value, 97: ascii, 114: repr, 115: str}[node.conversion]
        return format(value if node.conversion == -1 else turned(value), spec)


def _is_known(function: Any) -> bool:
    """Whether a function gives the same for the same numbers, and does nothing else."""
    if getattr(function, "__module__", None) == "math":
        return True
    return _is_one_of(function, _FUNCTIONS)


def _is_one_of(function: Any, known: frozenset[Any]) -> bool:
    return any(function is one for one in known)


@final
class _Hidden(_Annotated):
    """Hides operands that may be constant to TorchScript, where it would work out something else
    than Python."""

    def __init__(self, source: FunctionSource) -> None:
        self.source = source
        self.kinds = Kinds(source)
        self._asked: set[str] = set()
        numbers = [n.value for n in ast.walk(source.definition) if isinstance(n, ast.Constant)]
        self._wide = any(isinstance(n, int) and abs(n) >= _WIDE for n in numbers)

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        if self._differs(node) and self._is_fixed(node.left) and self._is_fixed(node.right):
            node.left = hide(node.left)
        return node

    def _differs(self, node: ast.BinOp) -> bool:
        """Whether TorchScript may work an operation out differently."""
        if isinstance(node.op, ast.Pow | ast.LShift | ast.RShift) or self._wide:
            return True
        if isinstance(node.op, ast.FloorDiv | ast.Mod):  # by 0, it would end the process
            whole = {self.kinds.of(node.left), self.kinds.of(node.right)} == {"int"}
            return not (whole and isinstance(node.right, ast.Constant) and node.right.value)
        return False

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if not node.args and not isinstance(node.func, ast.Attribute):
            return node
        value = self.source.value_of(node.func)
        if value is not UNKNOWN:
            known = _is_one_of(value, _HIDDEN) or getattr(value, "__module__", None) == "math"
            if known and node.args and all(map(self._is_fixed, node.args)):
                node.args[0] = hide(node.args[0])
        elif self._is_fixed_text(node.func) and all(map(self._is_fixed, node.args)):
            node.func.value = hide(node.func.value)  # type: ignore[attr-defined]
        return node

    def _is_fixed_text(self, function: ast.expr) -> bool:
        """Whether a method of a text is called that may be constant to TorchScript."""
        text = function.value if isinstance(function, ast.Attribute) else None
        return text is not None and self.kinds.of(text) == "str" and self._is_fixed(text)

    def _is_fixed(self, node: ast.expr) -> bool:
        """Whether TorchScript may take an expression for a constant."""
        if isinstance(node, ast.Constant):
            return True
        if isinstance(node, ast.Name):
            return self._is_fixed_name(node.id)
        if isinstance(node, ast.Attribute):
            return self._is_fixed_attribute(node)
        if isinstance(node, ast.Call):
            return self._is_fixed_call(node)
        if isinstance(node, ast.IfExp):
            return self._is_fixed(node.body) or self._is_fixed(node.orelse)
        if isinstance(node, ast.Subscript):
            return not _is_hidden(node) and self._is_fixed(node.value)
        if isinstance(node, ast.BinOp | ast.UnaryOp | ast.Compare | ast.BoolOp | ast.Tuple):
            return all(map(self._is_fixed, _operands(node)))
        return False

    def _is_fixed_name(self, name: str) -> bool:
        if name not in self.source.local or name in self._asked:
            return False
        self._asked.add(name)
        fixed = any(
            one.fixed if isinstance(one, Bound) else self._is_fixed(one)
            for one in self.kinds.bindings.get(name, [])
        )
        self._asked.discard(name)
        return fixed

    def _is_fixed_attribute(self, node: ast.Attribute) -> bool:
        owner: ast.expr = node
        while isinstance(owner, ast.Attribute):
            owner = owner.value
        if not isinstance(owner, ast.Name):
            return False
        return owner.id == self.source.itself or self._is_fixed(owner)

    def _is_fixed_call(self, node: ast.Call) -> bool:
        value = self.source.value_of(node.func)
        if value is UNKNOWN:
            return self._is_fixed_text(node.func) and all(map(self._is_fixed, node.args))
        if value is builtins.len:
            return True  # of a container of modules, or of a tuple
        return _is_known(value) and all(map(self._is_fixed, node.args))


def _operands(node: ast.AST) -> Iterator[ast.expr]:
    return (child for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr))


def hide(node: ast.expr) -> ast.expr:
    hidden = ast.Subscript(ast.List([node], ast.Load()), ast.Constant(0), ast.Load())
    return at(hidden, node)


def _is_hidden(node: ast.Subscript) -> bool:
    return isinstance(node.value, ast.List)
