"""Rules for operators: arithmetic, comparisons, `and`, `or`, `not`, and conditional expressions."""

import ast
import operator
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from runner.graph.frontend.python import truth as truths
from runner.graph.frontend.python.abstract import (
    FALSE,
    PLAIN,
    TRUE,
    Abstract,
    Items,
    Known,
    is_constant,
    is_open,
    is_static,
    is_written,
    thing_of,
)
from runner.graph.frontend.python.branches import choose_value
from runner.graph.frontend.python.containers import found
from runner.graph.frontend.python.evaluation import Evaluation, reads
from runner.graph.frontend.python.special_methods import special
from runner.graph.ir.node import Value
from runner.nested import leaves
from runner.nn.values.expression import Expression, compute
from runner.python_operators import BINARY, COMPARISONS, UNARY, PythonOperator

_BINARY = {found.syntax: found for found in BINARY}
_UNARY = {found.syntax: found for found in UNARY}
_COMPARISONS = {found.syntax: found for found in COMPARISONS}


@reads(ast.BinOp)
def _binary(ev: Evaluation, node: ast.BinOp) -> Abstract:
    left = ev.evaluate(node.left)
    return binary(ev, _BINARY[type(node.op)], left, ev.evaluate(node.right))


def binary(ev: Evaluation, sign: PythonOperator, left: Abstract, right: Abstract) -> Abstract:
    """Returns the value of `left + right`."""
    if sign.name == "add" and type(left) is Items and type(right) is Items:
        return Items((*left.items, *right.items))
    if sign.name == "mul" and (repeated := _repeated(left, right)) is not None:
        return repeated
    if sign.name == "add" and isinstance(left, Value) and isinstance(right, Value):
        both = ev.lists.get(left), ev.lists.get(right)
        if both[0] is not None and both[1] is not None:
            joined = ev.operator("add", left, right)
            ev.lists[joined] = (*both[0], *both[1])
            return joined
    if sign.name == "mod" and type(left) is Known and isinstance(left.thing, str):
        return _formatted(ev, left, right)
    return computed(ev, sign.name, sign.function, left, right)


def _repeated(left: Abstract, right: Abstract) -> Abstract | None:
    for items, count in ((left, right), (right, left)):
        if type(items) is Items and is_static(count) and type(thing_of(count)) is int:
            return Items(items.items * thing_of(count))
    return None


def _formatted(ev: Evaluation, text: Abstract, values: Abstract) -> Abstract:
    """Returns the value of `"%s" % values`."""
    if is_static(values):
        return computed(ev, "mod", operator.mod, text, values)
    return ev.operator("mod", text, values)


def computed(
    ev: Evaluation, name: str, function: Callable[..., Any], *values: Abstract
) -> Abstract:
    """Returns the result of an operator: evaluated now if all operands are known, and written as
    the operation if one of them is written as a read of an attribute."""
    if any(_is_dynamic(value) for value in values):
        return ev.operator(name, *values)
    result = ev.evaluated(compute, function, *map(_operand, values))
    if not any(map(is_written, values)) or not isinstance(result, (*PLAIN, Expression)):
        return found(ev, result)
    return Known(result, lambda: ev.operator(name, *values))


def _is_dynamic(value: Abstract) -> bool:
    if type(value) is Items:
        return any(map(_is_dynamic, value.items))
    if type(value) is not Known or isinstance(value.thing, Tensor):
        return True
    return not is_static(value) and any(map(is_open, leaves(value.thing, subclasses=True)))


def _operand(value: Abstract) -> Any:
    """Returns the object, or the expression, that an operand stands for."""
    if type(value) is Items:
        return tuple(map(_operand, value.items))
    assert type(value) is Known, "other values are dynamic"
    return value.thing


@reads(ast.UnaryOp)
def _unary(ev: Evaluation, node: ast.UnaryOp) -> Abstract:
    value = ev.evaluate(node.operand)
    if isinstance(node.op, ast.Not):
        return truths.negated(ev, value)
    sign = _UNARY[type(node.op)]
    return computed(ev, sign.name, sign.function, value)


# Comparisons


@reads(ast.Compare)
def _compare(ev: Evaluation, node: ast.Compare) -> Abstract:
    return _chain(ev, ev.evaluate(node.left), [*zip(node.ops, node.comparators, strict=True)])


def _chain(ev: Evaluation, left: Abstract, rest: list[tuple[ast.cmpop, ast.expr]]) -> Abstract:
    """Returns the value of `left < b < c`, which evaluates `c` only if `left < b`."""
    (sign, node), *more = rest
    right = ev.evaluate(node)
    first = compared(ev, sign, left, right)
    if not more:
        return first
    return choose_value(ev, first, lambda: _chain(ev, right, more), lambda: first)


def compared(ev: Evaluation, sign: ast.cmpop, left: Abstract, right: Abstract) -> Abstract:
    """Returns the result of one comparison."""
    match sign:
        case ast.Is():
            return _identical(ev, left, right)
        case ast.IsNot():
            return _identical(ev, left, right, negated=True)
        case ast.In():
            return _contains(ev, right, left)
        case ast.NotIn():
            return truths.negated(ev, _contains(ev, right, left))
    plain = _COMPARISONS[type(sign)]
    return computed(ev, plain.name, plain.function, left, right)


def _identical(
    ev: Evaluation, left: Abstract, right: Abstract, *, negated: bool = False
) -> Abstract:
    if type(left) is Known and type(right) is Known:
        if isinstance(left.thing, Expression) or isinstance(right.thing, Expression):
            test = operator.is_not if negated else operator.is_
            return Known(compute(test, left.thing, right.thing))
        things = left.thing, right.thing
        if things[0] is not things[1] and (
            all(isinstance(thing, nn.Module) for thing in things) and any(map(is_open, things))
        ):
            return ev.operator("is_not" if negated else "is_", left, right)
        return TRUE if (left.thing is right.thing) is not negated else FALSE
    if type(left) is Items and type(right) is Items:
        raise ev.error("whether two tuples are one object is not known")
    for value, other in ((left, right), (right, left)):
        if is_constant(other, None) and _is_object(ev, value):
            return TRUE if negated else FALSE
    return ev.operator("is_not" if negated else "is_", left, right)


def _is_object(ev: Evaluation, value: Abstract) -> bool:
    """Returns whether a value is certainly not None."""
    if isinstance(value, Value):
        return value in ev.lists or value in ev.dicts
    return type(value) is not Known


def _contains(ev: Evaluation, container: Abstract, value: Abstract) -> Abstract:
    if (own := special(ev, "__contains__", container, value)) is not None:
        known = truths.known_truth(ev, own)
        return own if known is None else TRUE if known else FALSE
    if isinstance(container, Value) and container in ev.dicts and is_static(value):
        return TRUE if thing_of(value) in ev.dicts[container] else FALSE
    return computed(ev, "contains", operator.contains, container, value)


# Conditions


@reads(ast.BoolOp)
def _bool(ev: Evaluation, node: ast.BoolOp) -> Abstract:
    return _operands(ev, node.values, is_and=isinstance(node.op, ast.And))


def _operands(ev: Evaluation, nodes: list[ast.expr], *, is_and: bool) -> Abstract:
    """Returns the value of `a and b and c`: that of the first operand that decides it."""
    first, *rest = nodes
    value = ev.evaluate(first)
    if not rest:
        return value
    if is_and:
        return choose_value(ev, value, lambda: _operands(ev, rest, is_and=True), lambda: value)
    return choose_value(ev, value, lambda: value, lambda: _operands(ev, rest, is_and=False))


@reads(ast.IfExp)
def _conditional(ev: Evaluation, node: ast.IfExp) -> Abstract:
    return choose_value(
        ev,
        ev.evaluate(node.test),
        lambda: ev.evaluate(node.body),
        lambda: ev.evaluate(node.orelse),
    )
