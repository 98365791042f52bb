"""Indexing, which TorchScript takes apart, put together again: `x[:, 1:, i]`, `x[mask] = y`."""

import ast
from collections.abc import Sequence
from typing import Any

from runner.errors import GraphError
from runner.graph.frontend.torchscript.lower_values import Steps, Surroundings, is_number
from runner.graph.frontend.torchscript.schema import (
    FOREVER,
    changes_first,
    index_of,
    is_index,
    kind_of,
    line_of,
    once,
)
from runner.graph.frontend.torchscript.spelling import AUGMENTED
from runner.graph.ir.function import Function
from runner.graph.ir.node import Argument, Node, Value

WHOLE = slice(None, None, None)


class Indexing(Steps):
    """The operators that are brackets in Python."""

    def __init__(self, graph: Any, into: Function, around: Surroundings) -> None:
        super().__init__(graph, into, around)
        self.views: dict[Value, tuple[Argument, tuple[Argument, ...]]] = {}  # of what, its index

    def aten_slice(self, n: Any) -> Any:
        x, *rest = n.inputs()
        if kind_of(x) != "Tensor":
            self.call(n, "operator:getitem", self.value(x), self._slice(rest))
            return None
        return self._view(n, rest[0], self._slice(rest[1:]))

    def aten_select(self, n: Any) -> Any:
        _, dim, index = n.inputs()
        return self._view(n, dim, self.value(index))

    def aten_unsqueeze(self, n: Any) -> Any:
        value = self.env[n.inputsAt(0).debugName()]
        if value not in self.views if type(value) is Value else True:
            return NotImplemented
        return self._view(n, n.inputsAt(1), None)

    def _slice(self, values: Sequence[Any]) -> slice:
        start, stop, step = (self.value(v) for v in values)
        return slice(
            None if is_number(start, 0) else start,
            None if is_number(stop, FOREVER) else stop,
            None if is_number(step, 1) else step,
        )

    def _view(self, n: Any, dim: Any, index: Argument) -> Any:
        """One step of basic indexing, `x[:, index]`, joined with the step before if it can be."""
        x = self.value(n.inputsAt(0))
        fixed, at = self.constant(dim)
        if not fixed or not -2 <= at < 8:
            return NotImplemented
        base, indices = x, None
        if type(x) is Value and x in self.views and not x.name and once(n.inputsAt(0)):
            base, before = self.views[x]
            indices = joined(before, at, index)
        if indices is None and index is None:
            return NotImplemented
        if indices is None:
            base = x
            lead = (WHOLE,) * at if at >= 0 else (...,)
            indices = (*lead, index, *((WHOLE,) * (-1 - at)))
        node = self.call(n, "operator:getitem", base, subscript(indices))
        self.views[node.output] = (base, indices)
        return None

    def aten_index(self, n: Any) -> Any:
        where = self.value(n.inputsAt(1))
        if kind_of(n.inputsAt(0)) != "Tensor" or type(where) is not list:
            return NotImplemented
        base, indices = self._indexed(n.inputsAt(0), self._key(n, where))
        self.call(n, "operator:getitem", base, subscript(indices))
        return None

    def aten_index_put_(self, n: Any) -> Any:
        x, where, value, *accumulate = n.inputs()
        indices = self.value(where)
        if type(indices) is not list or (accumulate and self.value(accumulate[0]) is not False):
            return NotImplemented
        base, key = self._indexed(x, self._key(n, indices))
        args = (base, subscript(key), self._assigned(x, value))
        self.store(n, args)
        self.bind(n.output(), self.value(x))
        return None

    def store(self, n: Any, args: Sequence[Argument]) -> None:
        """`x[index] = value`; where the value is that part, changed in place, the change becomes
        an operator, which together with this is an augmented assignment."""
        changed = args[2].node if type(args[2]) is Value and not args[2].users else None
        if changed is not None and _is_changed_part(changed, args[:2]):
            changed.op, changed.target = "call_function", f"operator:{AUGMENTED[changed.target]}"
        self.emit(n, "call_function", "operator:setitem", args, outputs=())

    def aten_copy_(self, n: Any) -> Any:
        """`x[index] = value`, when the receiver is such a view and nothing else uses the result. A
        part that was changed in place need not be put back where it is."""
        x = self.value(n.inputsAt(0))
        if self._is_there(x, n.inputsAt(1)):
            self.bind(n.output(), x)
            return None
        if type(x) is not Value or x not in self.views or x.name or n.output().uses():
            return NotImplemented
        base, indices = self.views[x]
        self.store(n, (base, subscript(indices), self._assigned(n.inputsAt(0), n.inputsAt(1))))
        return None

    def is_view(self, argument: Argument) -> bool:
        """Whether it is a part of a tensor, by numbers and slices."""
        return type(argument) is Value and argument in self.views

    def _is_there(self, view: Argument, changed: Any) -> bool:
        """Whether a value is a view that was changed in place, the same as another one."""
        value = self.value(changed)
        if not self.is_view(view) or not self.is_view(value) or not changes_first(changed.node()):
            return False
        return _same(self.views[view], self.views[value])

    def aten_tensor(self, n: Any) -> Any:
        """A list that is an index, which TorchScript makes a tensor of whole numbers of."""
        if n.sourceRange() or kind_of(n.inputsAt(0)) != "List" or not is_index(n.output()):
            return NotImplemented
        self.bind(n.output(), self.value(n.inputsAt(0)))
        return None

    def _key(self, n: Any, where: list[Argument]) -> list[Argument]:
        """The indices of a node. A list of lists alone is several indices in Python, but one where
        anything follows it in the brackets."""
        alone = n.inputsAt(1).node().inputsAt(0).node() if len(where) == 1 else None
        if alone is None or alone.kind() != "aten::tensor" or alone.sourceRange():
            return where
        if not alone.inputsAt(0).type().annotation_str.startswith("List[List["):
            return where
        index = index_of(n)
        if index is None:
            raise GraphError(f"{line_of(n)}: the index is a list of lists; make a tensor of it.")
        return [*where, ...] if isinstance(index, ast.Tuple) else where

    def _indexed(self, v: Any, where: list[Argument]) -> tuple[Argument, tuple[Argument, ...]]:
        """The indexed tensor and the index, without the `x[:, :]` TorchScript puts first."""
        x = self.value(v)
        base, before = self.views.get(x, (x, ())) if type(x) is Value else (x, ())
        if any(part != WHOLE for part in before) or (type(x) is Value and x.name):
            base = x
        indices = tuple(WHOLE if index is None else index for index in where)
        return base, indices

    def _assigned(self, receiver: Any, value: Any) -> Argument:
        """What is assigned; a number that TorchScript made a tensor of first is a number again."""
        n = value.node()
        if n.kind() != "aten::tensor":
            return self.value(value)
        number, dtype, *_ = n.inputs()
        own = dtype.node().kind() == "prim::dtype" and dtype.node().inputsAt(0)
        if not own or own.debugName() != receiver.debugName() or kind_of(number) != "":
            return self.value(value)
        return self.value(number)


def _is_changed_part(changed: Node, place: Sequence[Argument]) -> bool:
    """Whether a node is a method that changes what stands at a place, and has an operator."""
    part = changed.args[0].node if changed.args and type(changed.args[0]) is Value else None
    if part is None or part.target != "operator:getitem" or changed.op != "call_method":
        return False
    plain = len(changed.args) == 2 and not changed.kwargs
    return plain and changed.target in AUGMENTED and _same([*part.args], [*place])


def _same(one: Argument, other: Argument) -> bool:
    """Whether two indices are the same, of the same tensor."""
    if type(one) is not type(other):
        return False
    if type(one) is tuple or type(one) is list:
        return len(one) == len(other) and all(map(_same, one, other))
    if type(one) is slice:
        return _same((one.start, one.stop, one.step), (other.start, other.stop, other.step))
    return one is other or bool(one == other)


def joined(before: tuple[Argument, ...], dim: int, index: Argument) -> tuple[Argument, ...] | None:
    """The index of two steps of indexing in one; None when it cannot be written so."""
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


def subscript(indices: tuple[Argument, ...]) -> Argument:
    """What stands between the brackets."""
    return indices[0] if len(indices) == 1 else indices
