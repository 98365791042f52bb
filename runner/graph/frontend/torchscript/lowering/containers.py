"""Rules for tuples, lists, dicts and strings."""

from typing import Any

from runner.graph.frontend.literals.literal import reference
from runner.graph.frontend.torchscript.lowering.context import Lowering, lowers
from runner.graph.frontend.torchscript.lowering.indexing import store
from runner.graph.frontend.torchscript.lowering.values import alias
from runner.graph.frontend.torchscript.schema import is_indices, kind_of, may_nest, named_tuple


@lowers("prim::TupleConstruct")
def _tuple(ctx: Lowering, n: Any) -> None:
    enums = [ctx.enum_of(n.output(), position) for position in range(n.inputsSize())]
    items = tuple(map(ctx.value, n.inputs(), enums))
    cls = named_tuple(n.output())
    if cls is not None:
        ctx.call(n, reference(cls), *items)
    else:
        ctx.bind(n.output(), items)


@lowers("prim::TupleIndex")
def _tuple_index(ctx: Lowering, n: Any) -> None:
    owner = ctx.value(n.inputsAt(0))
    fixed, index = ctx.constant(n.inputsAt(1))
    cls = named_tuple(n.inputsAt(0))
    if fixed and type(owner) is tuple:
        ctx.bind(n.output(), owner[index])
    elif fixed and cls is not None:
        ctx.call(n, "builtins:getattr", owner, cls._fields[index])
    else:
        ctx.call(n, "operator:getitem", owner, ctx.value(n.inputsAt(1)))


@lowers("prim::TupleSlice")
def _tuple_slice(ctx: Lowering, n: Any) -> None:
    owner = ctx.value(n.inputsAt(0))
    part = slice(n.i("beg"), n.i("end"))
    if type(owner) is tuple:
        ctx.bind(n.output(), owner[part])
    else:
        ctx.call(n, "operator:getitem", owner, part)


@lowers("prim::TupleUnpack", "prim::ListUnpack")
def _unpack(ctx: Lowering, n: Any) -> None:
    owner, outputs = ctx.value(n.inputsAt(0)), [*n.outputs()]
    if type(owner) in (tuple, list) and len(owner) == len(outputs):
        for v, item in zip(outputs, owner, strict=True):
            ctx.bind(v, item)
    else:
        ctx.emit(n, "unpack", "", (owner,))


@lowers("prim::ListConstruct")
def _list(ctx: Lowering, n: Any) -> None:
    values = [*n.inputs()]
    if _hides_constant(n):
        ctx.bind(n.output(), ctx.env[values[0].debugName()])
        return
    nested = may_nest(n)
    first = values[0].node() if values else None
    if nested and first is not None and first.kind() == "prim::TupleUnpack":
        # TorchScript converts a tuple where a list is wanted; Python's callee may need the tuple
        names = [v.debugName() for v in first.outputs()]
        if names == [v.debugName() for v in values]:
            ctx.bind(n.output(), ctx.value(first.inputsAt(0)))
            return
    items = ctx.values(values, ctx.enum_of(n.output()))
    if nested or is_indices(n):
        ctx.bind(n.output(), items)
    else:
        ctx.emit(n, "list", "", items)


@lowers("aten::__getitem__")
def _getitem(ctx: Lowering, n: Any) -> bool:
    """Lowers `[n][0]`, by which desugaring hides a constant from TorchScript, to `n`."""
    if not _hides_constant(n.inputsAt(0).node()):
        return False
    alias(ctx, n)
    return True


def _hides_constant(n: Any) -> bool:
    """Returns whether a list of one item exists only for that item to be taken out of it."""
    if n.kind() != "prim::ListConstruct" or n.inputsSize() != 1:
        return False
    uses = n.output().uses()
    if len(uses) != 1 or uses[0].user.kind() != "aten::__getitem__":
        return False
    index = uses[0].user.inputsAt(1).node()
    return bool(index.kind() == "prim::Constant" and index.output().toIValue() == 0)


@lowers("prim::DictConstruct")
def _dict(ctx: Lowering, n: Any) -> None:
    items = ctx.values(n.inputs())
    plain = all(type(key) in (str, int, float, bool) for key in items[::2])
    if plain and may_nest(n):
        ctx.bind(n.output(), dict(zip(items[::2], items[1::2], strict=True)))
    else:
        ctx.emit(n, "dict", "", items)


@lowers("aten::keys", "aten::values", "aten::items")
def _dict_view(ctx: Lowering, n: Any) -> None:
    name = n.kind().partition("::")[2]
    view = ctx.step(n, "call_method", name, ctx.value(n.inputsAt(0)))
    if all(use.user.kind() == "aten::list" for use in n.output().uses()):
        ctx.bind(n.output(), view)
    else:
        ctx.call(n, "builtins:list", view)


@lowers("aten::_set_item")
def _set_item(ctx: Lowering, n: Any) -> None:
    args = ctx.values(n.inputs(), ctx.enum_among(n))
    store(ctx, n, args)
    for v in n.outputs():
        ctx.bind(v, args[0])


@lowers("aten::Delete")
def _delete(ctx: Lowering, n: Any) -> None:
    args = ctx.values(n.inputs(), ctx.enum_among(n))
    ctx.statement(n, "call_function", "operator:delitem", args)


@lowers("aten::sort")
def _sort(ctx: Lowering, n: Any) -> bool:
    if kind_of(n.inputsAt(0)) != "List":
        return False
    owner, reverse = ctx.values(n.inputs())
    kwargs = {} if reverse is False else {"reverse": reverse}
    ctx.emit(n, "call_method", "sort", (owner,), kwargs, outputs=())
    return True


@lowers("aten::percentFormat")
def _percent_format(ctx: Lowering, n: Any) -> None:
    text, *args = ctx.values(n.inputs())
    whole = args[0] if len(args) == 1 and type(args[0]) is tuple else tuple(args)
    ctx.call(n, "operator:mod", text, whole)
