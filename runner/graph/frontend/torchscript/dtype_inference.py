"""Infers which values hold a dtype or layout, which are numbers to TorchScript, and which hold
lists or tuples of them."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, final

from runner.graph.frontend.torchscript.schema import (
    Formal,
    class_of,
    constructor,
    operator_schema,
    walk,
)

_ALIASES = frozenset({"prim::unchecked_cast", "aten::_unwrap_optional"})
_KINDS = frozenset({"IntType", "OptionalType", "ListType"})


OF_TENSORS = {"prim::dtype": "ScalarType", "prim::layout": "Layout"}  # attributes


def infer_enums(graph: Any, of_attribute: Callable[[Any], str]) -> dict[str, str]:
    """Returns the enum ("ScalarType", "Layout") that values hold, or lists of it, by debug name;
    for an item of a tuple, by `part_of`."""
    merges = _EnumClasses()
    for v in graph.inputs():
        if "dtype" in v.debugName():
            merges.seeds[v.debugName()] = "ScalarType"
    for n in walk(graph.nodes()):
        kind = n.kind()
        rule = _RULES.get(kind)
        held = of_attribute(n) if kind == "prim::GetAttr" else OF_TENSORS.get(kind, "")
        if held:
            merges.seeds[n.output().debugName()] = held
        elif rule is not None:
            rule(merges, n)
        elif kind in _ALIASES:
            merges.join(n.output(), n.inputsAt(0))
        elif n.schema() != "(no schema)":
            merges.call(operator_schema(n.schema()), [*n.inputs()])
    return merges.found()


def part_of(v: Any, place: int) -> str:
    """Returns the name of an item of a tuple."""
    return f"{v.debugName()}[{place}]"


@final
class _EnumClasses:
    """Equivalence classes of values by name (union-find), and the enums of some of them."""

    def __init__(self) -> None:
        self.seeds: dict[str, str] = {}
        self._parent: dict[str, str] = {}

    def found(self) -> dict[str, str]:
        """Returns the enums of all names whose class has one."""
        names = {*self._parent, *self._parent.values(), *self.seeds}
        roots = {self._root(name): held for name, held in self.seeds.items()}
        return {name: roots[self._root(name)] for name in names if self._root(name) in roots}

    def join(self, a: Any, b: Any) -> None:
        """Merges the classes of two values; constants are left out."""
        if "prim::Constant" in (a.node().kind(), b.node().kind()):
            return
        if a.type().kind() == "TupleType":
            for place in range(len(a.type().elements())):
                self._same(part_of(a, place), part_of(b, place))
        elif a.type().kind() in _KINDS:
            self._same(a.debugName(), b.debugName())

    def _same(self, a: str, b: str) -> None:
        self._parent[self._root(a)] = self._root(b)

    def _root(self, name: str) -> str:
        while self._parent.get(name, name) != name:
            name = self._parent[name]
        return name

    # Nodes

    def call(self, formals: Sequence[Formal], values: Iterable[Any]) -> None:
        for declared, v in zip(formals, values, strict=False):
            if declared.enum in OF_TENSORS.values() and v.node().kind() != "prim::Constant":
                self.seeds[v.debugName()] = declared.enum

    def made(self, n: Any) -> None:
        """Handles the construction of an object, such as a context manager."""
        owner, *values = n.inputs()
        if n.s("name") == "__init__" and (cls := class_of(owner)) is not None:
            self.call(constructor(cls), values)

    def branches(self, n: Any) -> None:
        for block in n.blocks():
            for output, result in zip(n.outputs(), block.outputs(), strict=True):
                self.join(output, result)

    def loop(self, n: Any) -> None:
        (block,) = n.blocks()
        carried = zip(
            n.outputs(), [*n.inputs()][2:], [*block.inputs()][1:], [*block.outputs()][1:],
            strict=True,
        )  # fmt: skip
        for output, *others in carried:
            for other in others:
                self.join(output, other)

    def listed(self, n: Any) -> None:
        for v in n.inputs():
            self.join(n.output(), v)

    def item(self, n: Any) -> None:
        """Joins the result of `xs[i]` with `xs`, a list."""
        if n.inputsAt(0).type().kind() == "ListType":
            self.join(n.output(), n.inputsAt(0))

    def like_items(self, n: Any) -> None:
        """Joins x with the list `xs` in `x in xs` and `xs.append(x)`."""
        if n.inputsAt(0).type().kind() == "ListType":
            self.join(n.inputsAt(0), n.inputsAt(1))

    def tupled(self, n: Any) -> None:
        for place, v in enumerate(n.inputs()):
            if v.node().kind() != "prim::Constant" and v.type().kind() in _KINDS:
                self._same(part_of(n.output(), place), v.debugName())

    def apart(self, n: Any) -> None:
        """Unpacks a list or tuple."""
        owner = n.inputsAt(0)
        for place, v in enumerate(n.outputs()):
            if owner.type().kind() == "ListType":
                self.join(v, owner)
            elif v.type().kind() in _KINDS:
                self._same(v.debugName(), part_of(owner, place))

    def picked(self, n: Any) -> None:
        """Joins the result of `xs[1]` with that item of a tuple."""
        place = n.inputsAt(1).toIValue()
        if place is not None and n.output().type().kind() in _KINDS:
            place %= len(n.inputsAt(0).type().elements())
            self._same(n.output().debugName(), part_of(n.inputsAt(0), place))


_RULES: dict[str, Callable[[_EnumClasses, Any], None]] = {
    "prim::If": _EnumClasses.branches,
    "prim::Loop": _EnumClasses.loop,
    "prim::CallMethod": _EnumClasses.made,
    "prim::ListConstruct": _EnumClasses.listed,
    "prim::TupleConstruct": _EnumClasses.tupled,
    "prim::TupleUnpack": _EnumClasses.apart,
    "prim::ListUnpack": _EnumClasses.apart,
    "prim::TupleIndex": _EnumClasses.picked,
    "aten::__getitem__": _EnumClasses.item,
    "aten::__contains__": _EnumClasses.like_items,
    "aten::append": _EnumClasses.like_items,
}
