"""Operators and the small nodes of TorchScript, as Python spells them."""

from typing import Any

from runner.errors import GraphError
from runner.graph.frontend.torchscript.lower_indexing import Indexing
from runner.graph.frontend.torchscript.lower_values import is_number
from runner.graph.frontend.torchscript.schema import (
    CHANGES_LIST,
    KEPT,
    called,
    changes_first,
    is_of_math,
    kind_of,
    line_of,
    name_of,
    once,
    operator_schema,
    reads_only,
)
from runner.graph.frontend.torchscript.spelling import (
    AUGMENTED,
    Spelling,
    operator_of,
    spelled,
    takes_several,
    with_out,
)
from runner.graph.ir.node import Argument, Op, Value
from runner.graph.ir.unit import Ref

_INSTANCES = {
    "IntType": "builtins:int", "FloatType": "builtins:float", "BoolType": "builtins:bool",
    "StringType": "builtins:str", "ListType": "builtins:list", "AnyListType": "builtins:list",
    "TupleType": "builtins:tuple", "AnyTupleType": "builtins:tuple", "DictType": "builtins:dict",
    "TensorType": "torch:Tensor", "NoneType": "types:NoneType", "ComplexType": "builtins:complex",
}  # fmt: skip
_SPREAD = frozenset({"view", "reshape", "permute", "expand", "repeat"})  # take sizes one by one


class Operators(Indexing):
    """A method for each node that follows no rule; `operator` for all that do."""

    def _alias(self, n: Any) -> None:
        self.bind(n.output(), self.env[n.inputsAt(0).debugName()])

    prim_unchecked_cast = prim_unchecked_unwrap_optional = prim_annotate = _alias
    aten__unwrap_optional = _alias
    aten_wait = _alias  # of a fork, which Python runs where it stands

    # The source has the tensor itself where TorchScript puts in that it wants a number
    aten_IntImplicit = aten_FloatImplicit = aten_ComplexImplicit = aten_ScalarImplicit = _alias
    prim_ImplicitTensorToNum = _alias

    def prim_Uninitialized(self, n: Any) -> None:
        self.bind(n.output(), None)

    def prim_isinstance(self, n: Any) -> None:
        kinds = [t.kind() for t in n.tys("types")]
        if unknown := [kind for kind in kinds if kind not in _INSTANCES]:
            raise GraphError(f"{line_of(n)}: isinstance of a {unknown[0]} has no form in Python.")
        classes = tuple(Ref(_INSTANCES[kind]) for kind in dict.fromkeys(kinds))
        what = classes[0] if len(classes) == 1 else classes
        self.call(n, "builtins:isinstance", self.value(n.inputsAt(0)), what)

    def _builtin(self, n: Any) -> None:
        name = n.kind().partition("::")[2]
        self.call(n, f"builtins:{name.lower()}", *(self.value(v) for v in n.inputs()))

    prim_abs = aten_divmod = _builtin

    def prim_Print(self, n: Any) -> None:
        first = next(iter(n.inputs()), None)
        if first is None or self.value(first) != KEPT:
            self._builtin(n)

    def _extreme(self, n: Any) -> None:
        made = n.inputsAt(0).node()
        alone = made.kind() == "prim::ListConstruct" and made.inputsSize() == 1
        if alone and made.inputsAt(0).node().kind().endswith("Implicit"):
            name = n.kind().partition("::")[2]
            raise GraphError(
                f"{line_of(n)}: {name}() of a tensor is {name}() of a list of it to TorchScript. "
                "Write it as a method of the tensor"
            )
        self._builtin(n)

    prim_min = prim_max = _extreme

    def aten_Int(self, n: Any) -> Any:
        """A rounded number is an int, but to TorchScript; a bool is a number where any will do,
        and so is `x.item()`, which TorchScript rounds before it asks whether it is true."""
        value = n.inputsAt(0)
        rounds = value.node()
        is_round = rounds.kind() == "aten::round" and kind_of(rounds.inputsAt(0)) != "Tensor"
        is_implicit = value.type().kind() == "NumberType" and called(n) != "int"
        if not is_round and not is_implicit and not _is_bool_among_numbers(n):
            return NotImplemented
        self._alias(n)
        return None

    def aten_Complex(self, n: Any) -> None:
        self.call(n, "builtins:complex", *(self.value(v) for v in n.inputs()))

    def aten___getitem__(self, n: Any) -> Any:
        """`[n][0]`, in which constants are hidden from TorchScript, is `n`."""
        if not self.is_hidden(n.inputsAt(0).node()):
            return NotImplemented
        self._alias(n)
        return None

    def is_hidden(self, n: Any) -> bool:
        """Whether a list is made for the one item that is taken out of it."""
        if n.kind() != "prim::ListConstruct" or n.inputsSize() != 1:
            return False
        uses = n.output().uses()
        if len(uses) != 1 or uses[0].user.kind() != "aten::__getitem__":
            return False
        index = uses[0].user.inputsAt(1).node()
        return bool(index.kind() == "prim::Constant" and index.output().toIValue() == 0)

    def prim_StringIndex(self, n: Any) -> None:
        self.call(n, "operator:getitem", *(self.value(v) for v in n.inputs()))

    def prim_rangelist(self, n: Any) -> None:
        steps = self.step(n, "call_function", "builtins:range", self.value(n.inputsAt(0)))
        self.call(n, "builtins:list", steps)

    def aten_nonzero_numpy(self, n: Any) -> None:
        self.emit(n, "call_method", "nonzero", (self.value(n.inputsAt(0)),), {"as_tuple": True})

    def prim_tolist(self, n: Any) -> None:
        self.emit(n, "call_method", "tolist", (self.value(n.inputsAt(0)),))

    def prim_NumToTensor(self, n: Any) -> None:
        self.call(n, "torch:tensor", self.value(n.inputsAt(0)))

    def _attribute(self, n: Any) -> None:
        name = n.kind().partition("::")[2].removeprefix("numpy_")
        self.call(n, "builtins:getattr", self.value(n.inputsAt(0)), name)

    def _of_enum(self, n: Any) -> None:
        name = n.kind().removeprefix("prim::Enum").lower()
        self.call(n, "builtins:getattr", self.value(n.inputsAt(0)), name)

    prim_EnumValue = prim_EnumName = _of_enum

    prim_type = prim_index = aten_numpy_T = aten_mT = aten_mH = aten_H = _attribute

    def aten_warn(self, n: Any) -> None:
        self.call(n, "warnings:warn", self.value(n.inputsAt(0)))

    def aten_device(self, n: Any) -> None:
        self.call(n, "torch:device", *(self.value(v) for v in n.inputs()))

    def aten_mathremainder(self, n: Any) -> None:
        self.call(n, "math:remainder", *(self.value(v) for v in n.inputs()))

    def aten___range_length(self, n: Any) -> None:
        start, stop, step = (self.value(v) for v in n.inputs())
        args = (start, stop) if is_number(step, 1) else (start, stop, step)
        self.call(n, "builtins:len", self.step(n, "call_function", "builtins:range", *args))

    def aten___derive_index(self, n: Any) -> None:
        index, start, step = (self.value(v) for v in n.inputs())
        if not is_number(step, 1):
            index = self.step(n, "call_function", "operator:mul", index, step)
        if is_number(start, 0):
            self.bind(n.output(), index)
            if type(index) is Value and not index.name:
                index.name = name_of(n.output().debugName())
        else:
            self.call(n, "operator:add", index, start)

    def aten_format(self, n: Any) -> None:
        self.emit(n, "call_method", "format", [self.value(v) for v in n.inputs()])

    def aten_percentFormat(self, n: Any) -> None:
        text, *args = (self.value(v) for v in n.inputs())
        whole = args[0] if len(args) == 1 and type(args[0]) is tuple else tuple(args)
        self.call(n, "operator:mod", text, whole)

    def _as_list(self, n: Any) -> None:
        name = n.kind().partition("::")[2]
        view = self.step(n, "call_method", name, self.value(n.inputsAt(0)))
        if all(use.user.kind() == "aten::list" for use in n.output().uses()):
            self.bind(n.output(), view)
        else:
            self.call(n, "builtins:list", view)

    aten_keys = aten_values = aten_items = _as_list

    def aten_rsub(self, n: Any) -> Any:
        if n.inputsSize() > 2 and self.constant(n.inputsAt(2)) != (True, 1):
            return NotImplemented
        self.call(n, "operator:sub", self.value(n.inputsAt(1)), self.value(n.inputsAt(0)))
        return None

    def aten_size(self, n: Any) -> Any:
        if n.inputsSize() > 1:
            return NotImplemented
        x = self.value(n.inputsAt(0))
        if reads_only(n.output()):
            self.call(n, "builtins:getattr", x, "shape")
        else:
            shape = self.step(n, "call_function", "builtins:getattr", x, "shape")
            self.call(n, "builtins:list", shape)
        return None

    def _compared(self, n: Any) -> Any:
        kind = self.kind_among(n)
        if not kind:
            return NotImplemented
        name = operator_of(n.kind().partition("::")[2], 2)
        self.call(n, f"operator:{name}", *(self.value(v, kind) for v in n.inputs()))
        return None

    aten_eq = aten_ne = aten___contains__ = aten___is__ = aten___isnot__ = _compared

    # Lists and dicts

    def aten__set_item(self, n: Any) -> None:
        wants = self.kind_among(n)
        args = [self.value(v, wants) for v in n.inputs()]
        self.store(n, args)
        for v in n.outputs():
            self.bind(v, args[0])

    def aten_Delete(self, n: Any) -> None:
        self.statement(n, "call_function", "operator:delitem")

    def aten_sort(self, n: Any) -> Any:
        if kind_of(n.inputsAt(0)) != "List":
            return NotImplemented
        owner, reverse = (self.value(v) for v in n.inputs())
        named = {} if reverse is False else {"reverse": reverse}
        self.emit(n, "call_method", "sort", (owner,), named, outputs=())
        return None

    def statement(self, n: Any, op: Op, target: str) -> None:
        """A call whose result is the first argument, changed."""
        wants = self.kind_among(n)
        args = [self.value(v, wants) for v in n.inputs()]
        self.emit(n, op, target, args, outputs=())
        for v in n.outputs():
            self.bind(v, args[0])

    # All other operators

    def operator(self, n: Any, name: str) -> None:
        values = [*n.inputs()]
        formals = operator_schema(n.schema())
        if is_of_math(n):
            self.call(n, f"math:{name}", *map(self.value, values))
            return
        plain = operator_of(name, len(values))
        if plain is None and len(values) == 3 and self.constant(values[2]) == (True, 1):
            plain = operator_of(name, 2) if formals[2].name == "alpha" else None
        if plain is not None:
            self.call(n, f"operator:{plain}", *(self.value(v) for v in values[:2]))
            return
        first = kind_of(values[0]) if values else ""
        changes = name in CHANGES_LIST and first in ("List", "Dict")
        if changes and name not in ("pop", "setdefault", "popitem"):
            self.statement(n, "call_method", "extend" if name == "add_" else name)
            return
        names = tuple(f.name for f in formals)
        written = [f.name for f in formals if f.is_out]
        op, target = with_out(name, written) if written else spelled(name, first, names)
        if target == "":
            raise GraphError(f"{line_of(n)}: out= of {name} has no form in a graph.")
        if op == "call_method" and first != "Tensor":
            self.emit(n, op, target, self.positional(formals, values))
            return
        args, kwargs = self.arguments(formals, values)
        if len(args) == 1 and type(args[0]) is list and takes_several(name):
            target, args = f"torch:{name}", args[0]
        if op == "call_method" and name in _SPREAD and not kwargs and len(args) == 2:
            sizes = args[1]
            if type(sizes) in (list, tuple) and sizes:
                args = [args[0], *sizes]
        if first == "Tensor" and changes_first(n):
            self._in_place(n, name, (op, target), args, kwargs)
        else:
            self.emit(n, op, target, args, kwargs)

    def _in_place(
        self, n: Any, name: str, spelling: Spelling, args: list[Argument],
        kwargs: dict[str, Argument],
    ) -> None:  # fmt: skip
        """A tensor that is changed: what the operator gives is the tensor itself."""
        op, target = spelling
        fresh = self._is_fresh(n.inputsAt(0), args[0])
        stored = fresh and self.is_view(args[0]) and _only_stored(n.output())
        plain = len(args) == 2 and not kwargs
        has_method = not name.endswith("__")
        if plain and name in AUGMENTED and (stored or _is_variable(args[0]) or not has_method):
            op, target = "call_function", f"operator:{AUGMENTED[name]}"
        if fresh and not stored:
            self.emit(n, op, target, args, kwargs)
            return
        self.emit(n, op, target, args, kwargs, outputs=())
        for v in n.outputs():
            self.bind(v, args[0])

    def _is_fresh(self, v: Any, argument: Argument) -> bool:
        """Whether a tensor is a temporary that only this in-place operator uses."""
        node = argument.node if type(argument) is Value else None
        if node is None or argument.name or node.op not in ("call_function", "call_method"):
            return False
        return once(v)


def _is_bool_among_numbers(n: Any) -> bool:
    """Whether a bool was made a number because an operator takes any number, not by `int`."""
    place = n.sourceRange()
    own = n.inputsAt(0).type().kind() != "BoolType" or not place
    return not own and all(use.user.sourceRange() == place for use in n.output().uses())


def _only_stored(v: Any) -> bool:
    """Whether a changed part of a tensor is used for nothing but to be put back where it was."""
    return all(use.user.kind() == "aten::copy_" and use.offset == 1 for use in v.uses())


def _is_variable(argument: Argument) -> bool:
    """Whether the source has a name for it, which an augmented assignment can set."""
    return type(argument) is Value and (argument.is_input or argument.name != "")
