"""Augmented assignment: rewrites it where TorchScript would rebind, drop or redefine it.

Python dispatches on the type (`x %= y` is `x = type(x).__imod__(x, y)`), and stores the result,
also in a part of an object. TorchScript has four in-place operators for tensors, takes `%=` for
fmod_, has neither `//=` nor `@=`, and changes a copy if the target is a key of a dict.
"""

import ast
from collections.abc import Iterator
from typing import final

from runner.graph.frontend.torchscript.desugar.pure import root_of
from runner.graph.frontend.torchscript.schema import HIDDEN
from runner.graph.frontend.torchscript.source import FunctionSource, assign, at, call, load
from runner.graph.frontend.torchscript.spelling import METHOD_IN_PLACE
from runner.python_operators import AUGMENTED

_OWN = (ast.Add, ast.Sub, ast.Mult, ast.Div)  # in place to TorchScript, too
_NAMES = {found.syntax: name for name, found in AUGMENTED.items()}


def split_augmented(source: FunctionSource) -> None:
    """Rewrites each augmented assignment to the steps that Python executes."""
    _AugmentedAssignments(source).visit(source.definition)


@final
class _AugmentedAssignments(ast.NodeTransformer):
    """A transformer that replaces augmented assignments by their steps."""

    def __init__(self, source: FunctionSource) -> None:
        self._source = source

    def visit_AugAssign(self, node: ast.AugAssign) -> list[ast.stmt]:
        if isinstance(node.target, ast.Name):
            return [at(step, node) for step in _changed(node.target.id, node)]
        before: list[ast.stmt] = []
        place = self._place(node.target, before)
        part = self._variable(_loaded(place), before)
        steps = [*before, *_changed(part.id, node, part=True), ast.Assign([place], part)]
        return [at(step, node) for step in steps]

    def _place(
        self, target: ast.Attribute | ast.Subscript, before: list[ast.stmt]
    ) -> ast.Attribute | ast.Subscript:
        """Returns the target, with variables for parts that must not be evaluated twice."""
        if isinstance(target, ast.Attribute):
            steady = isinstance(root_of(target.value), ast.Name)  # as modules are reached
            owner = target.value if steady else self._once(target.value, before)
            return ast.Attribute(owner, target.attr, ast.Store())
        owner = self._once(target.value, before)
        return ast.Subscript(owner, self._index(target.slice, before), ast.Store())

    def _index(self, index: ast.expr, before: list[ast.stmt]) -> ast.expr:
        match index:
            case ast.Tuple():
                items = [self._index(item, before) for item in index.elts]
                return ast.Tuple(items, ast.Load())
            case ast.Slice():
                bounds = (index.lower, index.upper, index.step)
                return ast.Slice(*(b and self._once(b, before) for b in bounds))
        return self._once(index, before)

    def _once(self, value: ast.expr, before: list[ast.stmt]) -> ast.expr:
        return value if _is_steady(value) else self._variable(value, before)

    def _variable(self, value: ast.expr, before: list[ast.stmt]) -> ast.Name:
        name = self._source.fresh(f"{HIDDEN}part")
        before.append(assign(name, value))
        return load(name)


def _changed(name: str, node: ast.AugAssign, *, part: bool = False) -> Iterator[ast.stmt]:
    """Yields the statements that change or rebind a variable, depending on its type."""
    variable = load(name)
    if isinstance(node.op, _OWN):
        yield _own(variable, ast.AugAssign(ast.Name(name, ast.Store()), node.op, node.value))
        return
    anew = assign(name, ast.BinOp(variable, node.op, node.value))
    if isinstance(node.op, ast.MatMult):  # tensors have none in place
        yield anew
        return
    method = ast.Attribute(variable, METHOD_IN_PLACE[_NAMES[type(node.op)]], ast.Load())
    changed = ast.Call(method, [node.value], [])
    in_place = assign(name, changed) if part else ast.Expr(changed)
    yield ast.If(call("isinstance", variable, load("Tensor")), [in_place], [anew])


def _own(variable: ast.expr, change: ast.AugAssign) -> ast.stmt:
    """Returns an assignment that TorchScript supports. It rebinds a list on `+=`, and may drop
    `*=` on a list, for which it is given a method that it refuses."""
    name = {ast.Add: "extend", ast.Mult: "__imul__"}.get(type(change.op))
    if name is None:
        return change
    method = ast.Attribute(variable, name, ast.Load())
    of_list = ast.Expr(ast.Call(method, [change.value], []))
    return ast.If(call("isinstance", variable, load("list")), [of_list], [change])


def _is_steady(value: ast.expr) -> bool:
    """Returns whether an expression can be evaluated again with the same result and no effect."""
    negative = isinstance(value, ast.UnaryOp) and isinstance(value.operand, ast.Constant)
    return negative or isinstance(value, ast.Name | ast.Constant)


def _loaded(place: ast.Attribute | ast.Subscript) -> ast.expr:
    if isinstance(place, ast.Attribute):
        return ast.Attribute(place.value, place.attr, ast.Load())
    return ast.Subscript(place.value, place.slice, ast.Load())
