"""Rules for indexing, which TorchScript decomposes: `x[:, 1:, i]` and `x[mask] = y` again."""

import ast
from collections.abc import Iterable, Sequence
from typing import Any

from runner.graph.frontend.torchscript.lowering.context import Lowering, lowers
from runner.graph.frontend.torchscript.schema import (
    FOREVER,
    changes_first,
    error_at,
    index_of,
    is_index,
    kind_of,
    used_once,
)
from runner.graph.frontend.torchscript.spelling import AUGMENTED
from runner.graph.ir.node import Argument, Node, Value, is_int
from runner.nested import alike

WHOLE = slice(None, None, None)


# Basic indices, which make views


@lowers("aten::slice")
def _slice(ctx: Lowering, n: Any) -> bool:
    x, *rest = n.inputs()
    if kind_of(x) == "Tensor":
        return _view(ctx, n, rest[0], _range(ctx, rest[1:]))
    ctx.call(n, "operator:getitem", ctx.value(x), _range(ctx, rest))
    return True


@lowers("aten::select")
def _select(ctx: Lowering, n: Any) -> bool:
    _, dim, index = n.inputs()
    return _view(ctx, n, dim, ctx.value(index))


@lowers("aten::unsqueeze")
def _unsqueeze(ctx: Lowering, n: Any) -> bool:
    return is_view(ctx, ctx.env[n.inputsAt(0).debugName()]) and _view(ctx, n, n.inputsAt(1), None)


def _range(ctx: Lowering, bounds: Iterable[Any]) -> slice:
    start, stop, step = ctx.values(bounds)
    return slice(
        None if is_int(start, 0) else start,
        None if is_int(stop, FOREVER) else stop,
        None if is_int(step, 1) else step,
    )


def _view(ctx: Lowering, n: Any, dim: Any, index: Argument) -> bool:
    """Lowers one step of basic indexing, `x[:, index]`, joined with the preceding one if
    possible."""
    x = ctx.value(n.inputsAt(0))
    fixed, at = ctx.constant(dim)
    if not fixed or not -2 <= at < 8:
        return False
    base, indices = x, None
    if type(x) is Value and x in ctx.views and not x.name and used_once(n.inputsAt(0)):
        base, before = ctx.views[x]
        indices = _joined(before, at, index)
    if indices is None and index is None:
        return False
    if indices is None:
        base = x
        lead = (WHOLE,) * at if at >= 0 else (...,)
        indices = (*lead, index, *((WHOLE,) * (-1 - at)))
    node = ctx.call(n, "operator:getitem", base, _subscript(indices))
    ctx.views[node.output] = (base, indices)
    return True


def _joined(before: tuple[Argument, ...], dim: int, index: Argument) -> tuple[Argument, ...] | None:
    """Returns one index for two steps of indexing; None if there is none."""
    if ... in before or dim < 0:
        return None
    out = -1  # the dimension of the result that a part of the index makes
    for at, part in enumerate(before):
        out += part is None or type(part) is slice
        if out == dim and part is not None and type(part) is slice:
            if index is None:
                return (*before[:at], None, *before[at:])
            return (*before[:at], index, *before[at + 1 :]) if part == WHOLE else None
        if out == dim:
            return None
    return (*before, *((WHOLE,) * (dim - out - 1)), index)


def _subscript(indices: tuple[Argument, ...]) -> Argument:
    """Returns the argument that is written between the brackets."""
    return indices[0] if len(indices) == 1 else indices


def is_view(ctx: Lowering, argument: Argument) -> bool:
    """Returns whether an argument is a part of a tensor, indexed by numbers and slices."""
    return type(argument) is Value and argument in ctx.views


# Indices that hold tensors or lists


@lowers("aten::index")
def _index(ctx: Lowering, n: Any) -> bool:
    where = ctx.value(n.inputsAt(1))
    if kind_of(n.inputsAt(0)) != "Tensor" or type(where) is not list:
        return False
    base, indices = _indexed(ctx, n, where)
    ctx.call(n, "operator:getitem", base, _subscript(indices))
    return True


@lowers("aten::index_put_")
def _index_put(ctx: Lowering, n: Any) -> bool:
    x, where, value, *accumulate = n.inputs()
    indices = ctx.value(where)
    if type(indices) is not list or (accumulate and ctx.value(accumulate[0]) is not False):
        return False
    base, key = _indexed(ctx, n, indices)
    store(ctx, n, (base, _subscript(key), _assigned(ctx, x, value)))
    ctx.bind(n.output(), ctx.value(x))
    return True


@lowers("aten::tensor")
def _tensor(ctx: Lowering, n: Any) -> bool:
    """Keeps a list used as an index, which TorchScript converts to a tensor of integers."""
    if n.sourceRange() or kind_of(n.inputsAt(0)) != "List" or not is_index(n.output()):
        return False
    ctx.bind(n.output(), ctx.value(n.inputsAt(0)))
    return True


def _indexed(ctx: Lowering, n: Any, where: list[Argument]) -> tuple[Argument, tuple[Argument, ...]]:
    """Returns the indexed tensor and the index, without the `x[:, :]` TorchScript puts first."""
    x = ctx.value(n.inputsAt(0))
    base, before = ctx.views.get(x, (x, ())) if type(x) is Value else (x, ())
    if any(part != WHOLE for part in before) or (type(x) is Value and x.name):
        base = x
    return base, tuple(WHOLE if index is None else index for index in _key(n, where))


def _key(n: Any, where: list[Argument]) -> list[Argument]:
    """Returns the indices of a node. To Python, a list of lists alone in the brackets is several
    indices, and one index if anything follows it."""
    alone = n.inputsAt(1).node().inputsAt(0).node() if len(where) == 1 else None
    if alone is None or alone.kind() != "aten::tensor" or alone.sourceRange():
        return where
    if not alone.inputsAt(0).type().annotation_str.startswith("List[List["):
        return where
    index = index_of(n)
    if index is None:
        raise error_at(n, "the index is a list of lists; make a tensor of it.")
    return [*where, ...] if isinstance(index, ast.Tuple) else where


# Assignments to parts of tensors


@lowers("aten::copy_")
def _copy(ctx: Lowering, n: Any) -> bool:
    """Lowers to `x[index] = value` if the receiver is such a view and the result is unused. A part
    that was changed in place needs no assignment."""
    x, value = ctx.values([*n.inputs()][:2])
    if _is_same_view(ctx, x, value) and changes_first(n.inputsAt(1).node()):
        ctx.bind(n.output(), x)
        return True
    if type(x) is not Value or x not in ctx.views or x.name or n.output().uses():
        return False
    base, indices = ctx.views[x]
    store(ctx, n, (base, _subscript(indices), _assigned(ctx, n.inputsAt(0), n.inputsAt(1))))
    return True


def _is_same_view(ctx: Lowering, one: Argument, other: Argument) -> bool:
    """Returns whether two values are the same view of one tensor."""
    return is_view(ctx, one) and is_view(ctx, other) and _same(ctx.views[one], ctx.views[other])


def store(ctx: Lowering, n: Any, args: Sequence[Argument]) -> None:
    """Emits `x[index] = value`. If the value is that part, changed by a method in place, the method
    becomes an operator, which together with this node is an augmented assignment."""
    changed = args[2].node if type(args[2]) is Value and not args[2].users else None
    if changed is not None and _is_changed_part(changed, args[:2]):
        changed.op, changed.target = "call_function", f"operator:{AUGMENTED[changed.target]}"
    ctx.emit(n, "call_function", "operator:setitem", args, outputs=())


def _assigned(ctx: Lowering, receiver: Any, value: Any) -> Argument:
    """Returns the assigned value; the number itself if TorchScript made a tensor of it first."""
    n = value.node()
    if n.kind() != "aten::tensor":
        return ctx.value(value)
    number, dtype, *_ = n.inputs()
    own = dtype.node().kind() == "prim::dtype" and dtype.node().inputsAt(0)
    if not own or own.debugName() != receiver.debugName() or kind_of(number) != "":
        return ctx.value(value)
    return ctx.value(number)


def _is_changed_part(changed: Node, place: Sequence[Argument]) -> bool:
    """Returns whether a node is a method with an operator that changes `place`, (tensor, index)."""
    part = changed.args[0].node if changed.args and type(changed.args[0]) is Value else None
    if part is None or part.target != "operator:getitem" or changed.op != "call_method":
        return False
    plain = len(changed.args) == 2 and not changed.kwargs
    return plain and changed.target in AUGMENTED and _same([*part.args], [*place])


def _same(one: Argument, other: Argument) -> bool:
    """Returns whether two arguments are equal, values by identity."""
    return alike(one, other, lambda a, b: type(a) is type(b) and (a is b or bool(a == b)))
