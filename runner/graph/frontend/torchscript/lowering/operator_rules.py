"""Rules for operators: the general one, which follows schemas, and those for irregular ones."""

from typing import Any

import torch

from runner.graph.frontend.torchscript.lowering.context import Lowering, lowers
from runner.graph.frontend.torchscript.lowering.indexing import is_view
from runner.graph.frontend.torchscript.schema import (
    CHANGES_LIST,
    KEPT,
    changes_first,
    error_at,
    is_of_math,
    kind_of,
    name_of,
    operator_schema,
    reads_only,
    used_once,
)
from runner.graph.frontend.torchscript.spelling import (
    AUGMENTED,
    Spelling,
    operator_of,
    spelled,
    takes_several,
    with_out,
)
from runner.graph.ir.node import Argument, Value, is_int

_FUNCTIONS = {  # called with all inputs
    "prim::abs": "builtins:abs", "aten::divmod": "builtins:divmod",
    "aten::Complex": "builtins:complex", "prim::StringIndex": "operator:getitem",
    "prim::NumToTensor": "torch:tensor", "aten::device": "torch:device",
    "aten::mathremainder": "math:remainder",
}  # fmt: skip
_ATTRIBUTES = {
    "prim::type": "type", "prim::index": "index", "prim::EnumValue": "value",
    "prim::EnumName": "name", "aten::numpy_T": "T", "aten::mT": "mT", "aten::mH": "mH",
    "aten::H": "H",
}  # fmt: skip
_SPREAD = frozenset({"view", "reshape", "permute", "expand", "repeat"})  # take sizes one by one


@lowers(*_FUNCTIONS)
def _function(ctx: Lowering, n: Any) -> None:
    ctx.call(n, _FUNCTIONS[n.kind()], *ctx.values(n.inputs()))


@lowers(*_ATTRIBUTES)
def _attribute(ctx: Lowering, n: Any) -> None:
    ctx.call(n, "builtins:getattr", ctx.value(n.inputsAt(0)), _ATTRIBUTES[n.kind()])


@lowers("prim::*")
def _attribute_of_tensor(ctx: Lowering, n: Any) -> bool:
    name = n.kind().partition("::")[2]
    if n.inputsSize() != 1 or not hasattr(torch.Tensor, name):
        return False
    ctx.call(n, "builtins:getattr", ctx.value(n.inputsAt(0)), name)
    return True


@lowers("prim::Print")
def _print(ctx: Lowering, n: Any) -> None:
    first = next(iter(n.inputs()), None)
    if first is None or ctx.value(first) != KEPT:
        ctx.call(n, "builtins:print", *ctx.values(n.inputs()))


@lowers("prim::min", "prim::max")
def _extreme(ctx: Lowering, n: Any) -> None:
    name = n.kind().partition("::")[2]
    made = n.inputsAt(0).node()
    alone = made.kind() == "prim::ListConstruct" and made.inputsSize() == 1
    if alone and made.inputsAt(0).node().kind().endswith("Implicit"):
        raise error_at(
            n,
            f"TorchScript treats {name}(tensor) as {name}([tensor]). Write it as a "
            "method of the tensor",
        )
    ctx.call(n, f"builtins:{name}", *ctx.values(n.inputs()))


@lowers("aten::warn")
def _warn(ctx: Lowering, n: Any) -> None:
    ctx.call(n, "warnings:warn", ctx.value(n.inputsAt(0)))


@lowers("prim::tolist")
def _tolist(ctx: Lowering, n: Any) -> None:
    ctx.emit(n, "call_method", "tolist", (ctx.value(n.inputsAt(0)),))


@lowers("aten::format")
def _format(ctx: Lowering, n: Any) -> None:
    ctx.emit(n, "call_method", "format", ctx.values(n.inputs()))


@lowers("aten::nonzero_numpy")
def _nonzero(ctx: Lowering, n: Any) -> None:
    ctx.emit(n, "call_method", "nonzero", (ctx.value(n.inputsAt(0)),), {"as_tuple": True})


@lowers("prim::rangelist")
def _range_list(ctx: Lowering, n: Any) -> None:
    numbers = ctx.step(n, "call_function", "builtins:range", ctx.value(n.inputsAt(0)))
    ctx.call(n, "builtins:list", numbers)


@lowers("aten::__range_length")
def _range_length(ctx: Lowering, n: Any) -> None:
    start, stop, step = ctx.values(n.inputs())
    args = (start, stop) if is_int(step, 1) else (start, stop, step)
    ctx.call(n, "builtins:len", ctx.step(n, "call_function", "builtins:range", *args))


@lowers("aten::__derive_index")
def _range_item(ctx: Lowering, n: Any) -> None:
    index, start, step = ctx.values(n.inputs())
    if not is_int(step, 1):
        index = ctx.step(n, "call_function", "operator:mul", index, step)
    if is_int(start, 0):
        ctx.bind(n.output(), index)
        if type(index) is Value and not index.name:
            index.name = name_of(n.output().debugName())
    else:
        ctx.call(n, "operator:add", index, start)


@lowers("aten::rsub")
def _rsub(ctx: Lowering, n: Any) -> bool:
    if n.inputsSize() > 2 and ctx.constant(n.inputsAt(2)) != (True, 1):
        return False
    ctx.call(n, "operator:sub", ctx.value(n.inputsAt(1)), ctx.value(n.inputsAt(0)))
    return True


@lowers("aten::size")
def _size(ctx: Lowering, n: Any) -> bool:
    if n.inputsSize() > 1:
        return False
    x = ctx.value(n.inputsAt(0))
    if reads_only(n.output()):
        ctx.call(n, "builtins:getattr", x, "shape")
    else:
        shape = ctx.step(n, "call_function", "builtins:getattr", x, "shape")
        ctx.call(n, "builtins:list", shape)
    return True


@lowers("aten::eq", "aten::ne", "aten::__contains__", "aten::__is__", "aten::__isnot__")
def _compare_enums(ctx: Lowering, n: Any) -> bool:
    enum = ctx.enum_among(n)
    if not enum:
        return False
    name = operator_of(n.kind().partition("::")[2], 2)
    ctx.call(n, f"operator:{name}", *ctx.values(n.inputs(), enum))
    return True


@lowers("aten::*")
def _operator(ctx: Lowering, n: Any) -> None:
    name = n.kind().partition("::")[2]
    values = [*n.inputs()]
    formals = operator_schema(n.schema())
    if is_of_math(n):
        ctx.call(n, f"math:{name}", *ctx.values(values))
        return
    plain = operator_of(name, len(values))
    if plain is None and len(values) == 3 and ctx.constant(values[2]) == (True, 1):
        plain = operator_of(name, 2) if formals[2].name == "alpha" else None
    if plain is not None:
        ctx.call(n, f"operator:{plain}", *ctx.values(values[:2]))
        return
    first = kind_of(values[0]) if values else ""
    changes = name in CHANGES_LIST and first in ("List", "Dict")
    if changes and name not in ("pop", "setdefault", "popitem"):
        method = "extend" if name == "add_" else name
        ctx.statement(n, "call_method", method, ctx.values(values, ctx.enum_among(n)))
        return
    names = tuple(f.name for f in formals)
    written = [f.name for f in formals if f.is_out]
    op, target = with_out(name, written) if written else spelled(name, first, names)
    if target == "":
        raise error_at(n, f"out= of {name} cannot be represented in a graph.")
    if op == "call_method" and first != "Tensor":
        ctx.emit(n, op, target, ctx.positional(formals, values))
        return
    args, kwargs = ctx.arguments(formals, values)
    if len(args) == 1 and type(args[0]) is list and takes_several(name):
        target, args = f"torch:{name}", args[0]
    if op == "call_method" and name in _SPREAD and not kwargs and len(args) == 2:
        sizes = args[1]
        if type(sizes) in (list, tuple) and sizes:
            args = [args[0], *sizes]
    if first == "Tensor" and changes_first(n):
        _in_place(ctx, n, (op, target), args, kwargs)
    else:
        ctx.emit(n, op, target, args, kwargs)


def _in_place(
    ctx: Lowering, n: Any, spelling: Spelling, args: list[Argument], kwargs: dict[str, Argument]
) -> None:
    """Lowers an operator that changes a tensor, and returns it."""
    op, target = spelling
    name = n.kind().partition("::")[2]
    fresh = _is_temporary(n.inputsAt(0), args[0])
    stored = fresh and is_view(ctx, args[0]) and _is_only_stored(n.output())
    plain = len(args) == 2 and not kwargs
    has_method = not name.endswith("__")
    if plain and name in AUGMENTED and (stored or _is_variable(args[0]) or not has_method):
        op, target = "call_function", f"operator:{AUGMENTED[name]}"
    if fresh and not stored:
        ctx.emit(n, op, target, args, kwargs)
    else:
        ctx.statement(n, op, target, args, kwargs)


def _is_temporary(v: Any, argument: Argument) -> bool:
    """Returns whether a tensor has no name, and no other user than an operator."""
    node = argument.node if type(argument) is Value else None
    if node is None or argument.name or node.op not in ("call_function", "call_method"):
        return False
    return used_once(v)


def _is_only_stored(v: Any) -> bool:
    """Returns whether a changed part of a tensor is used only to be put back in its place."""
    return all(use.user.kind() == "aten::copy_" and use.offset == 1 for use in v.uses())


def _is_variable(argument: Argument) -> bool:
    """Returns whether the source has a variable for it, which an augmented assignment can set."""
    return type(argument) is Value and (argument.is_input or argument.name != "")


@lowers("*")
def _custom_operator(ctx: Lowering, n: Any) -> bool:
    if n.schema() == "(no schema)":
        return False
    args, kwargs = ctx.arguments(operator_schema(n.schema()), [*n.inputs()])
    ctx.emit(n, "call_function", f"torch:ops.{n.kind().replace('::', '.')}", args, kwargs)
    return True
