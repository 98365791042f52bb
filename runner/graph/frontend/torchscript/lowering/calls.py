"""Rules for calls of functions, methods, modules and classes."""

from typing import Any

from torch import nn

from runner.errors import GraphError
from runner.graph.class_source.bytecode_names import names_of, used_attributes, uses_class
from runner.graph.frontend.literals.literal import reference
from runner.graph.frontend.reading.read_module import ModulePath
from runner.graph.frontend.torchscript.lowering.context import Lowering, lowers
from runner.graph.frontend.torchscript.schema import (
    constructor,
    demangled,
    error_at,
    plain_name,
    python_name,
    resolve,
)


@lowers("prim::CallFunction")
def _call_function(ctx: Lowering, n: Any) -> None:
    callee, *values = n.inputs()
    target, formals = ctx.scope.function(callee.type().annotation_str)
    args, kwargs = ctx.arguments(formals or (), values)
    ctx.emit(n, "call_function", target, args, kwargs)


@lowers("prim::CallMethod")
def _call_method(ctx: Lowering, n: Any) -> None:
    owner, *values = n.inputs()
    method = n.s("name")
    found = ctx.env[owner.debugName()]
    if type(found) is ModulePath:
        _call_module(ctx, n, found, method, values)
    elif method == "__init__" and owner.debugName() in ctx.objects:
        cls = resolve(ctx.objects.pop(owner.debugName()))
        args, kwargs = ctx.arguments(constructor(cls), values)
        ctx.emit(n, "call_function", reference(cls), args, kwargs, outputs=[owner])
        ctx.bind(n.output(), None)
    else:
        ctx.emit(n, "call_method", plain_name(method), [found, *ctx.values(values)])


def _call_module(ctx: Lowering, n: Any, path: ModulePath, method: str, values: list[Any]) -> None:
    attribute = ctx.scope.replaced_attribute(path)
    module = ctx.scope.module(path.names)
    if attribute:
        ctx.scope.read(path.parent, attribute)
        ctx.emit(n, "get_attr", path.path)
    elif method == "__contains__" and isinstance(module, nn.ModuleDict):
        _contains(ctx, n, tuple(module), values[0])
    elif method == "__len__" and isinstance(module, nn.Module):
        ctx.bind(n.output(), len([*module.children()]))
    else:
        args, kwargs = ctx.arguments(ctx.scope.called(path, method), values)
        if method == "forward__1" and getattr(module, "kind", "") == "Cell":
            args, kwargs = [[*args, *kwargs.values()]], {}  # the overload that takes inputs apart
        name = "" if method == "forward" else f":{python_name(method)}"
        node = ctx.emit(n, "call_module", f"{path.path}{name}", args, kwargs)
        ctx.scope.note_call(path, method, node)


def _contains(ctx: Lowering, n: Any, keys: tuple[str, ...], key: Any) -> None:
    fixed, name = ctx.constant(key)
    if fixed:
        ctx.bind(n.output(), name in keys)
    else:
        ctx.call(n, "operator:contains", keys, ctx.value(key))


@lowers("prim::CreateObject")
def _create_object(ctx: Lowering, n: Any) -> None:
    name = demangled(n.output().type().annotation_str)
    if resolve(name) is None:
        raise error_at(n, f"the class {name} cannot be imported.")
    ctx.objects[n.output().debugName()] = name
    ctx.bind(n.output(), None)


@lowers("prim::PythonOp")
def _python_op(ctx: Lowering, n: Any) -> None:
    """Turns a function or method that TorchScript was told to ignore into a plain call of it."""
    function = n.pyobj()
    if isinstance(owner := getattr(function, "__self__", None), type):  # a method of a class
        target = f"{reference(owner)}.{function.__name__}"
        ctx.emit(n, "call_function", target, ctx.values(n.inputs()))
        return
    free = getattr(getattr(function, "__code__", None), "co_freevars", ())
    cells = dict(zip(free, getattr(function, "__closure__", None) or (), strict=True))
    without_self = [v for v in n.inputs() if ctx.env[v.debugName()] != ModulePath()]
    args = ctx.values(without_self)
    if "unbound_method" in cells:
        _call_ignored_method(ctx, n, cells["unbound_method"].cell_contents, args)
        return
    function = getattr(function, "__original_fn", getattr(function, "__wrapped__", function))
    ctx.emit(n, "call_function", reference(function), args)


def _call_ignored_method(ctx: Lowering, n: Any, method: Any, args: list[Any]) -> None:
    """Emits a call of a method that was not compiled, as a function of the class that is passed
    the unit itself."""
    module = ctx.scope.module(())
    assert module is not None
    name, used = method.__name__, names_of(method)
    if uses_class(used - {name}, type(module)):
        raise GraphError(
            f"{name} is marked @torch.jit.ignore but uses other methods or properties of its "
            "class, which generated source lacks"
        )
    for attribute in used_attributes(used, module):
        ctx.scope.read(ModulePath(), attribute)
    owner = next(cls for cls in type(module).__mro__ if name in vars(cls))
    itself = ctx.function.get_attr("")
    ctx.emit(n, "call_function", f"{reference(owner)}.{name}", (itself, *args))
