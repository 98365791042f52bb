"""Indexing, which TorchScript takes apart, put together again: `x[:, 1:, i]`, `x[mask] = y`."""

from collections.abc import Sequence
from typing import Any

from runner.graph.node import Argument, Function, Value
from runner.graph.reading.scripted import (
    FOREVER,
    kind_of,
    once,
)
from runner.graph.reading.steps import Steps, Surroundings, is_number

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
        base, indices = self._indexed(n.inputsAt(0), where)
        self.call(n, "operator:getitem", base, subscript(indices))
        return None

    def aten_index_put_(self, n: Any) -> Any:
        x, where, value, *accumulate = n.inputs()
        indices = self.value(where)
        if type(indices) is not list or (accumulate and self.value(accumulate[0]) is not False):
            return NotImplemented
        base, key = self._indexed(x, indices)
        args = (base, subscript(key), self._assigned(x, value))
        self.emit(n, "call_function", "operator:setitem", args, outputs=())
        self.bind(n.output(), self.value(x))
        return None

    def aten_copy_(self, n: Any) -> Any:
        """`x[index] = value`, when the receiver is such a view and nothing else uses the result."""
        x = self.value(n.inputsAt(0))
        if type(x) is not Value or x not in self.views or x.name or n.output().uses():
            return NotImplemented
        base, indices = self.views[x]
        args = (base, subscript(indices), self._assigned(n.inputsAt(0), n.inputsAt(1)))
        self.emit(n, "call_function", "operator:setitem", args, outputs=())
        return None

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
