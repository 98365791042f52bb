"""Infers the kinds of values of expressions from the source and the live module."""

import ast
import builtins
from collections.abc import Iterator
from typing import Any, NamedTuple, final

from runner.graph.frontend.torchscript.desugar.pure import root_of
from runner.graph.frontend.torchscript.source import UNKNOWN, FunctionSource

_NAMES = {bool: "bool", int: "int", float: "float", str: "str", type(None): "none",
          list: "list", tuple: "tuple", dict: "dict"}  # fmt: skip
_DISPLAYS: dict[type[ast.expr], str] = {
    ast.List: "list", ast.ListComp: "list", ast.Tuple: "tuple", ast.Dict: "dict",
    ast.DictComp: "dict", ast.JoinedStr: "str",
}  # fmt: skip
_OF_TENSOR = {
    "dim": "int", "ndimension": "int", "numel": "int", "element_size": "int", "get_device": "int",
    "is_floating_point": "bool", "is_complex": "bool", "is_contiguous": "bool",
}  # fmt: skip
_FIELDS = {"ndim": "int", "is_cuda": "bool", "requires_grad": "bool", "is_sparse": "bool"}
_GIVES: dict[Any, str] = {
    isinstance: "bool", hasattr: "bool", callable: "bool", bool: "bool", len: "int", int: "int",
    float: "float", str: "str", ord: "int", chr: "str", hash: "int",
}  # fmt: skip
_NUMBERS = frozenset({"bool", "int", "float", "number"})
_PLAIN = _NUMBERS | {"str", "none"}
_KEEP_INT = (ast.Add, ast.Sub, ast.Mult, ast.FloorDiv, ast.Mod, ast.BitAnd, ast.BitOr, ast.BitXor)


@final
class Kinds:
    """The kinds of the values in one function: "bool", "int", "float", "number" for any of
    these, "str", "none", "list", "tuple", "dict", or "" if unknown."""

    def __init__(self, source: FunctionSource) -> None:
        self.source = source
        self.bindings = _bindings(source)
        self._asked: set[str] = set()

    def of(self, node: ast.expr) -> str:
        """Returns the kind of an expression."""
        if type(node) in _DISPLAYS:
            return _DISPLAYS[type(node)]
        own = getattr(self, f"_{type(node).__name__.lower()}", None)
        found: str = own(node) if own is not None else ""
        return found

    def is_bool(self, node: ast.expr) -> bool:
        """Returns whether an expression is a bool, so that `or` of such expressions is one."""
        return self.of(node) == "bool"

    def is_number(self, node: ast.expr) -> bool:
        """Returns whether an expression is a plain number."""
        return self.of(node) in _NUMBERS

    def _constant(self, node: ast.Constant) -> str:
        return _NAMES.get(type(node.value), "")

    def _name(self, node: ast.Name) -> str:
        if node.id not in self.source.local:
            value = self.source.value_of(node)
            return "" if value is UNKNOWN else _NAMES.get(type(value), "")
        if node.id in self._asked:
            return ""
        self._asked.add(node.id)
        kinds = {one.kind if isinstance(one, Bound) else self.of(one)
                 for one in self.bindings.get(node.id, [Bound()])}  # fmt: skip
        self._asked.discard(node.id)
        return _common(kinds)

    def _attribute(self, node: ast.Attribute) -> str:
        value = self.source.attribute(node)
        if value is not UNKNOWN:
            return "" if self.source.sets(node.attr) else _NAMES.get(type(value), "")
        if node.attr == "training" and _is(node.value, self.source.itself):
            return "bool"
        if not self._is_outside(node) and node.attr in _FIELDS:
            return _FIELDS[node.attr]
        value = self.source.value_of(node)
        return "" if value is UNKNOWN else _NAMES.get(type(value), "")

    def _subscript(self, node: ast.Subscript) -> str:
        sized = node.value
        if isinstance(sized, ast.List | ast.Tuple) and isinstance(node.slice, ast.Constant):
            place = node.slice.value
            return (
                self.of(sized.elts[place])
                if isinstance(place, int) and place < len(sized.elts)
                else ""
            )
        if isinstance(sized, ast.Call) and not sized.args:
            sized = sized.func
        is_size = isinstance(sized, ast.Attribute) and sized.attr in ("shape", "size")
        return "int" if is_size and self.of(node.slice) == "int" else ""

    def _unaryop(self, node: ast.UnaryOp) -> str:
        if isinstance(node.op, ast.Not):
            return "bool"
        kind = self.of(node.operand)
        return {"bool": "int"}.get(kind, kind) if kind in _NUMBERS else ""

    def _binop(self, node: ast.BinOp) -> str:
        kinds = {self.of(node.left), self.of(node.right)}
        if kinds == {"str"} and isinstance(node.op, ast.Add):
            return "str"
        if not kinds <= _NUMBERS:
            return ""
        if kinds <= {"int", "bool"} and isinstance(node.op, _KEEP_INT):
            return "int"
        return "float" if isinstance(node.op, ast.Div) or "float" in kinds else "number"

    def _compare(self, node: ast.Compare) -> str:
        for op, left, right in links(node):
            if isinstance(op, ast.Is | ast.IsNot | ast.In | ast.NotIn):
                continue
            if not {self.of(left), self.of(right)} <= _PLAIN:
                return ""
        return "bool"

    def _boolop(self, node: ast.BoolOp) -> str:
        return _common({self.of(value) for value in node.values})

    def _ifexp(self, node: ast.IfExp) -> str:
        return _common({self.of(node.body), self.of(node.orelse)})

    def _call(self, node: ast.Call) -> str:
        function = node.func
        value = self.source.value_of(function)
        if value is not UNKNOWN:
            given = {self.of(argument) for argument in node.args}
            if value is builtins.round and given <= _NUMBERS and len(node.args) == 1:
                return "int"
            if value in (builtins.min, builtins.max, builtins.abs, builtins.round, builtins.pow):
                known = given and given <= _NUMBERS
                return ("number" if value is builtins.pow else _common(given)) if known else ""
            return _GIVES.get(value, "") if _hashable(value) else ""
        if isinstance(function, ast.Attribute) and not self._is_outside(function):
            if function.attr == "size" and len(node.args) == 1:
                return "int"
            return _OF_TENSOR.get(function.attr, "")
        return ""

    def _is_outside(self, node: ast.Attribute) -> bool:
        """Returns whether an attribute may be one of the module or of a global, not of a tensor."""
        owner = root_of(node)
        if not isinstance(owner, ast.Name):
            return False
        return owner.id == self.source.itself or owner.id not in self.source.local


def links(node: ast.Compare) -> list[tuple[ast.cmpop, ast.expr, ast.expr]]:
    """Returns the comparisons of a chain, as (operator, left, right)."""
    operands = [node.left, *node.comparators]
    return [*zip(node.ops, operands, operands[1:], strict=False)]


def _common(kinds: set[str]) -> str:
    """Returns the kind of a value that has one of these kinds."""
    if len(kinds) == 1:
        return next(iter(kinds))
    return "number" if kinds and kinds <= _NUMBERS else ""


def _is(node: ast.expr, name: str) -> bool:
    return bool(name) and isinstance(node, ast.Name) and node.id == name


def _hashable(value: Any) -> bool:
    return getattr(value, "__hash__", None) is not None and not isinstance(value, tuple)


class Bound(NamedTuple):
    """A binding of a variable to something that is no expression of the source."""

    kind: str = ""
    fixed: bool = False  # whether TorchScript may treat it as a constant, in a loop it unrolls


def _bindings(source: FunctionSource) -> dict[str, list[ast.expr | Bound]]:
    """Returns, by the name of a variable, everything that is bound to it."""
    found: dict[str, list[ast.expr | Bound]] = {}
    arguments = source.definition.args
    for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
        found[argument.arg] = [Bound(_annotated(argument.annotation))]
    seen: set[int] = set()
    for node in ast.walk(source.definition):
        for target, value in _targets(node):
            seen.add(id(target))
            found.setdefault(target.id, []).append(value)
    for node in ast.walk(source.definition):
        stored = isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)
        if isinstance(node, ast.Name) and stored and id(node) not in seen:
            found.setdefault(node.id, []).append(Bound())
    return found


def _annotated(annotation: ast.expr | None) -> str:
    """Returns the kind that an annotation declares."""
    text = "" if annotation is None else ast.unparse(annotation)
    base = text.partition("[")[0].rpartition(".")[2].lower()
    if base in ("list", "tuple", "dict"):
        return base
    return text if text in ("int", "float", "bool", "str") else ""


def _targets(node: ast.AST) -> Iterator[tuple[ast.Name, ast.expr | Bound]]:
    """Yields the variables that a statement binds, and the value of each."""
    if isinstance(node, ast.Assign):
        for target in node.targets:
            yield from _unpacked(target, node.value)
    elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        kind = _annotated(node.annotation)
        yield node.target, Bound(kind) if node.value is None else node.value
    elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
        before = ast.Name(node.target.id, ast.Load())
        yield node.target, ast.BinOp(before, node.op, node.value)
    elif isinstance(node, ast.For):
        yield from _walked(node.target, node.iter)


def _unpacked(target: ast.expr, value: ast.expr) -> Iterator[tuple[ast.Name, ast.expr | Bound]]:
    """Yields the variables of an assignment target, each with its part of the value."""
    if isinstance(target, ast.Name):
        yield target, value
    elif isinstance(target, ast.Tuple | ast.List):
        same = isinstance(value, ast.Tuple) and len(value.elts) == len(target.elts)
        parts = value.elts if isinstance(value, ast.Tuple) else []
        for place, inner in enumerate(target.elts):
            part = ast.Subscript(value, ast.Constant(place), ast.Load())
            yield from _unpacked(inner, parts[place] if same else part)


def _walked(target: ast.expr, items: ast.expr) -> Iterator[tuple[ast.Name, ast.expr | Bound]]:
    """Yields the variables that a `for` binds."""
    called = (
        items.func.id if isinstance(items, ast.Call) and isinstance(items.func, ast.Name) else ""
    )
    if isinstance(target, ast.Name):
        yield target, Bound("int") if called == "range" else Bound("", fixed=True)
        return
    for place, inner in enumerate(getattr(target, "elts", [])):
        if isinstance(inner, ast.Name):
            first = called == "enumerate" and place == 0
            yield inner, Bound("int" if first else "", fixed=True)
