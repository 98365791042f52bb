"""Rules for constants, attributes and conversions that Python leaves implicit."""

from typing import Any

from runner.graph.frontend.reading.read_module import ModulePath
from runner.graph.frontend.torchscript.lowering.context import Lowering, lowers
from runner.graph.frontend.torchscript.schema import called, error_at, kind_of
from runner.graph.ir.node import Argument, Value
from runner.graph.ir.unit import Ref

_KEEPS_ATTRIBUTES = ("call_function", "call_method", "get_attr", "list", "dict", "unpack")
_CLASSES = {
    "IntType": "builtins:int", "FloatType": "builtins:float", "BoolType": "builtins:bool",
    "StringType": "builtins:str", "ListType": "builtins:list", "AnyListType": "builtins:list",
    "TupleType": "builtins:tuple", "AnyTupleType": "builtins:tuple", "DictType": "builtins:dict",
    "TensorType": "torch:Tensor", "NoneType": "types:NoneType", "ComplexType": "builtins:complex",
}  # fmt: skip


@lowers("prim::Constant")
def _constant(ctx: Lowering, n: Any) -> None:
    v = n.output()
    kind = v.type().kind()
    if kind == "FunctionType":
        return
    value = None if kind == "NoneType" or n.mustBeNone() else v.toIValue()
    plain = type(value) in (type(None), bool, int, float, str)
    ctx.bind(v, value if plain else ctx.scope.literals.of(value))


@lowers("prim::Uninitialized")
def _uninitialized(ctx: Lowering, n: Any) -> None:
    ctx.bind(n.output(), None)


@lowers(
    "prim::unchecked_cast", "prim::unchecked_unwrap_optional", "aten::_unwrap_optional",
    "prim::annotate",
    "aten::wait",  # for a fork, whose body runs in place
    # conversions of tensors to numbers, which the source does not write
    "aten::IntImplicit", "aten::FloatImplicit", "aten::ComplexImplicit", "aten::ScalarImplicit",
    "prim::ImplicitTensorToNum",
)  # fmt: skip
def alias(ctx: Lowering, n: Any) -> None:
    """Binds the output of a node to its first input."""
    ctx.bind(n.output(), ctx.env[n.inputsAt(0).debugName()])


@lowers("aten::Int")
def _int(ctx: Lowering, n: Any) -> bool:
    """Drops an `int()` that TorchScript inserted: Python's `round` returns an int, a bool passes as
    a number, and the truth of `x.item()` is not rounded."""
    value = n.inputsAt(0)
    rounds = value.node()
    is_round = rounds.kind() == "aten::round" and kind_of(rounds.inputsAt(0)) != "Tensor"
    is_implicit = value.type().kind() == "NumberType" and called(n) != "int"
    if not is_round and not is_implicit and not _is_bool_among_numbers(n):
        return False
    alias(ctx, n)
    return True


def _is_bool_among_numbers(n: Any) -> bool:
    """Returns whether an operator that takes any number converted a bool, not a call of `int`."""
    place = n.sourceRange()
    if n.inputsAt(0).type().kind() != "BoolType" or not place:
        return False
    return all(use.user.sourceRange() == place for use in n.output().uses())


@lowers("prim::isinstance")
def _isinstance(ctx: Lowering, n: Any) -> None:
    kinds = [t.kind() for t in n.tys("types")]
    if unknown := [kind for kind in kinds if kind not in _CLASSES]:
        raise error_at(n, f"isinstance of a {unknown[0]} has no equivalent in Python.")
    classes = tuple(Ref(_CLASSES[kind]) for kind in dict.fromkeys(kinds))
    asked = classes[0] if len(classes) == 1 else classes
    ctx.call(n, "builtins:isinstance", ctx.value(n.inputsAt(0)), asked)


@lowers("prim::GetAttr")
def _get_attr(ctx: Lowering, n: Any) -> None:
    owner = ctx.env[n.inputsAt(0).debugName()]
    name = n.s("name")
    if type(owner) is not ModulePath:
        ctx.call(n, "builtins:getattr", owner, name)
        return
    path = owner.child(name)
    if ctx.scope.module(path.names) is not None or ctx.scope.replaced_attribute(path):
        ctx.bind(n.output(), path)
    elif n.output().uses():
        ctx.scope.read(owner, name)
        node = ctx.emit(n, "get_attr", path.path)
        if node.output.name == name:
            node.output.name = ""


@lowers("prim::SetAttr")
def _set_attr(ctx: Lowering, n: Any) -> None:
    owner = ctx.env[n.inputsAt(0).debugName()]
    name, value = n.s("name"), ctx.value(n.inputsAt(1))
    if type(owner) is not ModulePath:
        ctx.call(n, "builtins:setattr", owner, name, value)
        return
    is_same = _is_held(value, owner.child(name))
    if owner.names and not is_same:
        raise error_at(n, f"it sets {owner.path}.{name} of another module.")
    ctx.scope.read(owner, name)
    if not is_same:
        ctx.emit(n, "set_attr", name, (value,))


def _is_held(value: Argument, path: ModulePath) -> bool:
    """Returns whether an attribute certainly still holds a value that was read from it."""
    read = value.node if type(value) is Value else None
    if read is None or read.op != "get_attr" or read.target != path.path:
        return False
    nodes = read.block.nodes
    since = nodes[nodes.index(read) + 1 : -1]
    return all(node.op in _KEEPS_ATTRIBUTES for node in since)
