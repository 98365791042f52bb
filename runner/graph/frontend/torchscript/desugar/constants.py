"""Constant folding by Python's rules: by TorchScript's, `2 ** 3` is 8.0.

Expressions of constants are evaluated first; operands that TorchScript might still fold are hidden
from it as `[n][0]`, which it leaves alone and lowering takes for `n`.
"""

import ast
import builtins
import math
from collections.abc import Iterator
from types import ModuleType
from typing import Any, final

from runner.graph.frontend.torchscript.desugar.kinds import Bound, Kinds
from runner.graph.frontend.torchscript.desugar.pure import evaluated, root_of
from runner.graph.frontend.torchscript.source import UNKNOWN, FunctionSource, at, call
from runner.python_operators import COMPARISONS

_OPERATIONS = (
    *(ast.Tuple, ast.List, ast.UnaryOp, ast.BinOp, ast.Compare, ast.Subscript, ast.JoinedStr),
    ast.FormattedValue,
)
_COMPARISONS = tuple(found.syntax for found in COMPARISONS)
_FUNCTIONS = frozenset(
    {
        abs, bin, bool, chr, complex, divmod, float, hex, int, len, max, min, oct, ord, pow, round,
        str, sum, any, all, sorted,
    }
)  # fmt: skip
_HIDDEN = frozenset({round, min, max, str, divmod, pow, int, float, hash, abs, sum, complex})
_SCALARS = (bool, int, float, str, type(None))
_LARGEST = 1 << 12  # exponent or shift that is evaluated
_WIDE = 1 << 31


def fold_constants(source: FunctionSource) -> None:
    """Replaces expressions of constants by their values, and hides operands that may still be
    folded."""
    folded = _Folded(source)
    for statement in source.definition.body:
        folded.visit(statement)
    _Hidden(source).visit(source.definition)


class _Annotated(ast.NodeTransformer):
    """A transformer that leaves annotations and inner functions alone."""

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
    """A transformer that replaces the largest constant expressions by their values."""

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
            self.source.refuse(node, "TorchScript has no unary +. Omit it")
        return node.operand

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        """Escapes braces: TorchScript joins the parts to a template of `str.format`."""
        self.generic_visit(node)
        for part in node.values:
            if isinstance(part, ast.Constant) and isinstance(part.value, str):
                part.value = part.value.replace("{", "{{").replace("}", "}}")
        return node

    def _literal(self, value: Any, node: ast.expr) -> ast.expr:
        """Returns a value as an expression that TorchScript supports."""
        if isinstance(value, float) and not math.isfinite(value):
            return at(call("float", ast.Constant(str(value))), node)
        if isinstance(value, int) and not -(1 << 63) < value < 1 << 63:
            self.source.refuse(node, f"{value} has more than 64 bits, which TorchScript truncates")
        if isinstance(value, bool | str | None) or math.copysign(1, value) > 0:
            return at(ast.Constant(value), node)
        return at(ast.UnaryOp(ast.USub(), ast.Constant(-value)), node)

    def _value(self, node: ast.expr) -> Any:
        """Returns the value of an expression of constants; UNKNOWN for any other."""
        if isinstance(node, ast.Constant):
            return node.value
        names: dict[str, Any] = {}
        if not self._is_constant(node, names):
            return UNKNOWN
        try:
            return evaluated(node, names)
        except (ArithmeticError, TypeError, ValueError, LookupError, AttributeError):
            return UNKNOWN  # it raises in Python, too, when it is run

    def _is_constant(self, node: ast.expr, names: dict[str, Any]) -> bool:
        """Returns whether an expression consists of constants, pure functions and small operations.
        The objects its names refer to are added to `names`."""
        match node:
            case ast.Constant():
                return True
            case ast.BinOp() if not self._is_small(node):
                return False
            case ast.Compare() if not all(isinstance(op, _COMPARISONS) for op in node.ops):
                return False
            case ast.Attribute():
                return self._is_known_value(node, names)
            case ast.Call():
                parts = [*node.args, *(keyword.value for keyword in node.keywords)]
                spread = any(keyword.arg is None for keyword in node.keywords)
                called = not spread and self._is_pure_function(node.func, names)
                return called and all(self._is_constant(part, names) for part in parts)
        return isinstance(node, _OPERATIONS) and all(
            self._is_constant(part, names) for part in _operands(node)
        )

    def _is_small(self, node: ast.BinOp) -> bool:
        """Returns whether an operation cannot result in a huge number or sequence."""
        if not isinstance(node.op, ast.Pow | ast.LShift | ast.Mult):
            return True
        left, right = self._value(node.left), self._value(node.right)
        if isinstance(node.op, ast.Mult):
            return not any(isinstance(value, str | list | tuple) for value in (left, right))
        return not isinstance(right, int) or abs(right) <= _LARGEST

    def _is_known_value(self, node: ast.expr, names: dict[str, Any]) -> bool:
        """Returns whether an expression is a plain constant of a module, as `math.pi`."""
        owner = self.source.value_of(node.value) if isinstance(node, ast.Attribute) else None
        if not isinstance(owner, ModuleType) or type(self.source.value_of(node)) not in _SCALARS:
            return False
        return self._note_root(node, names)

    def _is_pure_function(self, node: ast.expr, names: dict[str, Any]) -> bool:
        """Returns whether a function has no effects, or is a method of a constant string."""
        value = self.source.value_of(node)
        if value is not UNKNOWN:
            return _is_known(value) and self._note_root(node, names)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Constant | ast.JoinedStr):
            return self._is_constant(node.value, names) and isinstance(self._value(node.value), str)
        return False

    def _note_root(self, node: ast.expr, names: dict[str, Any]) -> bool:
        """Adds the root of a chain of attributes to `names`; returns False if it is no name."""
        root = root_of(node)
        if isinstance(root, ast.Name):
            names[root.id] = self.source.value_of(root)
        return isinstance(root, ast.Name)


def _is_known(function: Any) -> bool:
    """Returns whether a function has no effects and depends on its arguments alone."""
    if getattr(function, "__module__", None) == "math":
        return True
    return _is_one_of(function, _FUNCTIONS)


def _is_one_of(function: Any, known: frozenset[Any]) -> bool:
    return any(function is one for one in known)


@final
class _Hidden(_Annotated):
    """A transformer that hides operands that may be constants to TorchScript where it would fold to
    another value than Python."""

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
        """Returns whether TorchScript may fold an operation to another value."""
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
        """Returns whether a function is a method of a string that TorchScript may treat as a
        constant."""
        text = function.value if isinstance(function, ast.Attribute) else None
        return text is not None and self.kinds.of(text) == "str" and self._is_fixed(text)

    def _is_fixed(self, node: ast.expr) -> bool:
        """Returns whether TorchScript may treat an expression as a constant."""
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
        owner = root_of(node)
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
    """Returns `[node][0]`, which TorchScript does not fold."""
    hidden = ast.Subscript(ast.List([node], ast.Load()), ast.Constant(0), ast.Load())

    return at(hidden, node)


def _is_hidden(node: ast.Subscript) -> bool:
    return isinstance(node.value, ast.List)
