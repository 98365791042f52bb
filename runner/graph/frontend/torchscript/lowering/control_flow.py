"""Rules for control flow: branches, loops, `with`, `raise`, and forks, which run in place."""

import builtins
from typing import Any

from runner.graph.frontend.literals.literal import reference
from runner.graph.frontend.reading.read_module import ModulePath
from runner.graph.frontend.torchscript.lowering.context import Lowering, lowers
from runner.graph.frontend.torchscript.schema import FOREVER, demangled, name_of, resolve, walk
from runner.graph.ir.node import Argument, Block, Value
from runner.graph.ir.unit import Ref

_ASSERTION = "AssertionError: "  # the beginning of the message of a failed assertion
_CONSTANTS = (type(None), bool, int, float, str, Ref, ModulePath)


@lowers("prim::If")
def _if(ctx: Lowering, n: Any) -> None:
    condition = ctx.value(n.inputsAt(0))
    blocks = [*n.blocks()]
    outputs = [*n.outputs()]
    if type(condition) is bool:
        block = blocks[0 if condition else 1]
        ctx.nodes(block.nodes())
        for v, result in zip(outputs, block.outputs(), strict=True):
            ctx.bind(v, ctx.env[result.debugName()])
        return
    node = ctx.emit(n, "if", "", (condition,))
    enums = [*map(ctx.enum_of_merged, outputs)]
    for block in blocks:
        _fill(ctx, node.add_block(), block, enums)


@lowers("prim::Loop")
def _loop(ctx: Lowering, n: Any) -> None:
    trips, condition, *carried = n.inputs()
    (block,) = n.blocks()
    enums = [*map(ctx.enum_of_merged, n.outputs())]
    initial = [*map(ctx.value, carried, enums)]
    count = ctx.value(trips)
    limit = None if count == FOREVER else count
    node = ctx.emit(n, "loop", "", (limit, ctx.value(condition), *initial))
    body = node.add_block()
    for v in block.inputs():
        ctx.bind(v, body.add_input(name_of(v.debugName())))
    _fill(ctx, body, block, ["", *enums])


def _fill(ctx: Lowering, target: Block, block: Any, enums: list[str]) -> None:
    """Lowers a block of TorchScript into an empty one; `enums` are those of its results."""
    with ctx.function.inserting_into(target):
        ctx.nodes(block.nodes())
        target.results = [*map(ctx.value, block.outputs(), enums)]


@lowers("prim::Enter")
def _with(ctx: Lowering, enter: Any) -> None:
    """Lowers the nodes up to the matching Exit into the body of a `with`; values that they define
    and later nodes use become its outputs."""
    body = []
    while not _is_exit(n := ctx.pending.popleft(), enter):
        body.append(n)
    outer = ctx.live_out
    ctx.live_out |= {v.debugName() for v in enter.owningBlock().outputs()} | {
        v.debugName()
        for later in walk(ctx.pending)
        for values in (later.inputs(), *(block.outputs() for block in later.blocks()))
        for v in values
    }
    manager = ctx.value(enter.inputsAt(0))
    node = ctx.emit(enter, "with", "", (manager,), outputs=())
    ctx.bind(enter.output(), manager)
    before = {*ctx.env}
    block = node.add_block()
    with ctx.function.inserting_into(block):
        ctx.nodes(body)
        defined = [name for name in ctx.env if name not in before and name in ctx.live_out]
        live = [name for name in defined if type(ctx.env[name]) not in _CONSTANTS]
        block.results = [ctx.env[name] for name in live]
    ctx.live_out = outer
    for name in live:
        ctx.env[name] = node.add_output(name_of(name))
    for v in n.outputs():
        ctx.bind(v, None)


def _is_exit(n: Any, enter: Any) -> bool:
    """Returns whether a node leaves the `with` that another one enters."""
    if n.kind() != "prim::Exit":
        return False
    return bool(n.inputsAt(0).debugName() == enter.inputsAt(0).debugName())


@lowers("prim::fork")
def _fork(ctx: Lowering, n: Any) -> None:
    body, outside = n.g("Subgraph"), {**ctx.env}
    for inner, v in zip(body.inputs(), n.inputs(), strict=True):
        ctx.bind(inner, outside[v.debugName()])
    ctx.nodes(body.nodes())
    results = [ctx.env[v.debugName()] for v in body.outputs()]
    ctx.env = outside
    for v, result in zip(n.outputs(), results, strict=True):
        ctx.bind(v, result)


@lowers("prim::RaiseException")
def _raise(ctx: Lowering, n: Any) -> None:
    qualname = ctx.env[n.inputsAt(1).debugName()] if n.inputsSize() > 1 else None
    text = ctx.value(n.inputsAt(0))
    name = (qualname or "builtins.RuntimeError").rpartition(".")[2]
    if qualname is None and (message := _message_of_assertion(text)) is not None:
        name, text = "AssertionError", message
    target = f"builtins:{name}"
    if not isinstance(getattr(builtins, name, None), type):
        cls = resolve(demangled(qualname or ""))
        target = reference(cls) if isinstance(cls, type) else "builtins:RuntimeError"
    ctx.emit(n, "raise", target, (text,))


def _message_of_assertion(text: Argument) -> Argument | None:
    """Returns the message of a failed assertion as the source has it; None for other errors."""
    if type(text) is str and text.startswith(_ASSERTION):
        return text.removeprefix(_ASSERTION)
    node = text.node if type(text) is Value else None
    if node is not None and node.target == "operator:add" and node.args[0] == _ASSERTION:
        message: Argument = node.args[1]
        return message
    return None
