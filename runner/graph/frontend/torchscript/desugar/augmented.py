"""Augmented assignment: TorchScript rebinds, drops or redefines some of what Python does in place.

Python asks the type (`x %= y` is `x = type(x).__imod__(x, y)`), and stores the result even in a
part of something. TorchScript knows four operators in place for tensors, takes `%=` for fmod_, has
no `//=` or `@=`, and works on a copy where a key of a dict is the target.
"""

import ast
from collections.abc import Iterator
from typing import final

from runner.graph.frontend.torchscript.desugar.source import FunctionSource, at
from runner.graph.frontend.torchscript.schema import HIDDEN
from runner.graph.frontend.torchscript.spelling import METHOD_IN_PLACE

_OWN = (ast.Add, ast.Sub, ast.Mult, ast.Div)  # in place for TorchScript, too
_NAMES = {
    ast.Mod: "mod", ast.FloorDiv: "floordiv", ast.Pow: "pow", ast.BitAnd: "and", ast.BitOr: "or",
    ast.BitXor: "xor", ast.LShift: "lshift", ast.RShift: "rshift",
}  # fmt: skip


def split_augmented(source: FunctionSource) -> None:
    """Rewrites each augmented assignment into the steps that Python takes for it."""
    _AugmentedAssignments(source).visit(source.definition)


@final
class _AugmentedAssignments(ast.NodeTransformer):
    """Puts the steps in the place of a statement."""

    def __init__(self, source: FunctionSource) -> None:
        self._source = source
        self._made: set[str] = set()

    def visit_AugAssign(self, node: ast.AugAssign) -> list[ast.stmt]:
        if isinstance(node.target, ast.Name):
            return [at(step, node) for step in _changed(node.target.id, node)]
        before: list[ast.stmt] = []
        place = self._place(node.target, before)
        part = self._variable(_loaded(place), before)
        steps = [*before, *_changed(part.id, node, part=True), _assign(place, part)]
        return [at(step, node) for step in steps]

    def _place(
        self, target: ast.Attribute | ast.Subscript, before: list[ast.stmt]
    ) -> ast.Attribute | ast.Subscript:
        """The target, with variables for all in it that is not to be evaluated twice."""
        if isinstance(target, ast.Attribute):
            steady = _is_module(target.value)
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
        name = self._source.fresh(f"{HIDDEN}part", self._made)
        self._made.add(name)
        before.append(_assign(ast.Name(name, ast.Store()), value))
        return ast.Name(name, ast.Load())


def _changed(name: str, node: ast.AugAssign, *, part: bool = False) -> Iterator[ast.stmt]:
    """The steps that change what a variable holds, or set it anew, as its type has it."""
    variable, target = ast.Name(name, ast.Load()), ast.Name(name, ast.Store())
    if isinstance(node.op, _OWN):
        yield _own(variable, ast.AugAssign(target, node.op, node.value))
        return
    anew = _assign(target, ast.BinOp(variable, node.op, node.value))
    if isinstance(node.op, ast.MatMult):  # tensors have none in place
        yield anew
        return
    method = ast.Attribute(variable, METHOD_IN_PLACE[_NAMES[type(node.op)]], ast.Load())
    call = ast.Call(method, [node.value], [])
    in_place = _assign(target, call) if part else ast.Expr(call)
    yield ast.If(_is_a(variable, "Tensor"), [in_place], [anew])


def _own(variable: ast.expr, change: ast.AugAssign) -> ast.stmt:
    """What TorchScript has an operator for, too. It takes what `+=` gives for another list, and
    may leave out `*=`: this is a method that it refuses."""
    name = {ast.Add: "extend", ast.Mult: "__imul__"}.get(type(change.op))
    if name is None:
        return change
    method = ast.Attribute(variable, name, ast.Load())
    of_list = ast.Expr(ast.Call(method, [change.value], []))
    return ast.If(_is_a(variable, "list"), [of_list], [change])


def _is_a(variable: ast.expr, kind: str) -> ast.Call:
    return ast.Call(_name("isinstance"), [variable, _name(kind)], [])


def _is_steady(value: ast.expr) -> bool:
    """Whether to evaluate it again gives the same, without a word to anyone."""
    negative = isinstance(value, ast.UnaryOp) and isinstance(value.operand, ast.Constant)
    return negative or isinstance(value, ast.Name | ast.Constant)


def _is_module(owner: ast.expr) -> bool:
    """Whether it is a chain of names, as modules are reached by."""
    return isinstance(owner, ast.Name) or (
        isinstance(owner, ast.Attribute) and _is_module(owner.value)
    )


def _assign(target: ast.expr, value: ast.expr) -> ast.Assign:
    return ast.Assign([target], value)


def _loaded(place: ast.Attribute | ast.Subscript) -> ast.expr:
    if isinstance(place, ast.Attribute):
        return ast.Attribute(place.value, place.attr, ast.Load())
    return ast.Subscript(place.value, place.slice, ast.Load())


def _name(name: str) -> ast.Name:
    return ast.Name(name, ast.Load())
