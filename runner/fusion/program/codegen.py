"""Code generation: emits the Python source of a fused forward pass, one line per launch."""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, final

import torch
from torch import nn

from runner.fusion.packing.layout import (
    LaidOutValue,
    Layout,
    ValuePart,
    channels_from_stacked,
    parts,
    spread,
    stacked_from_channels,
)
from runner.fusion.program.program import BatchSize, Var
from runner.graph.ir.argument import Ref
from runner.graph.ir.signature import locate
from runner.nested import rebuild

HELPERS: dict[str, Any] = {
    "torch": torch,
    "spread": spread,
    "stacked_from_channels": stacked_from_channels,
    "channels_from_stacked": channels_from_stacked,
    "parts": parts,
}


Cuts = dict[int, set[int]]  # the number of a value -> the models before which it is split


@final
class Emitter:
    """The emitted lines, the names they use, and the location of each value of each model."""

    def __init__(self, cuts: "Cuts | None" = None) -> None:
        """Plans with `cuts`: where values were split by a first emitter of the same source; None: a
        value is split between all models."""
        self.lines: list[str] = []
        self.early: list[str] = []  # lines before those, the same for all models
        self.names: dict[str, Any] = {**HELPERS}
        self.copies = 0  # number of concatenations of values
        self.counters: list[tuple[int, nn.Module]] = []  # normalization layers that count batches
        self._places: dict[tuple[int, Var], ValuePart] = {}
        self._bound: dict[int, str] = {}
        self._known: dict[Any, str] = {}  # expression -> its name, for reuse
        self._count = self._values = 0
        self._planned = cuts
        self.cuts: Cuts = defaultdict(set)

    # Names

    def line(self, expression: str, comment: str = "", *, early: bool = False) -> str:
        """Emits a line that assigns an expression to a new name; returns the name."""
        self._count += 1
        name = f"v{self._count}"
        suffix = f"  # {' '.join(comment.split())}" if comment else ""
        (self.early if early else self.lines).append(f"{name} = {expression}{suffix}")
        return name

    def once(self, expression: str) -> str:
        """Emits a line, or reuses an equal expression, which must not draw numbers or count."""
        if expression not in self._known:
            self._known[expression] = self.line(expression)
        return self._known[expression]

    def bind(self, thing: Any, prefix: str = "c") -> str:
        """Returns the name of a Python object, and adds it to `names`."""
        if thing is None:
            return "None"
        if id(thing) not in self._bound:
            name = f"{prefix}{len(self._bound) + 1}"
            self._bound[id(thing)] = name
            self.names[name] = thing  # keeps it alive so that its id is not reused
        return self._bound[id(thing)]

    # Values

    def put(self, members: Sequence[tuple[int, Var]], name: str, layout: Layout) -> None:
        """Records the tensor, by name, and the layout that hold the values of members, in order."""
        self._values += 1
        value = LaidOutValue(name, layout, len(members), self._values)
        for index, member in enumerate(members):
            self._places[member] = ValuePart(value, 0 if layout == Layout.SHARED else index)

    def shared(self, members: Sequence[tuple[int, Var]]) -> str | None:
        """Returns the name of the shared value of all members, or None if there is no such one."""
        first, *rest = (self._places[member] for member in members)
        if first.value.layout != Layout.SHARED or any(p.value is not first.value for p in rest):
            return None
        return first.value.name

    def whole(self, members: Sequence[tuple[int, Var]]) -> bool:
        """Returns whether one tensor holds exactly these values, in order."""
        places = [self._places[member] for member in members]
        value = places[0].value
        same = value.layout != Layout.SHARED and all(p.value is value for p in places)
        return same and [p.index for p in places] == [*range(value.size)]

    def layout(self, members: Sequence[tuple[int, Var]]) -> Layout:
        """Returns the layout of the first of some values."""
        return self._places[members[0]].value.layout

    def fetch(self, members: Sequence[tuple[int, Var]], layout: Layout) -> str:
        """Returns the name of a tensor with the values of members in a layout."""
        places = [self._places[member] for member in members]
        if (name := self.shared(members)) is not None:
            return self.once(f"spread({name}, {len(places)}, {layout.value!r})")
        if self.whole(members):
            return self._as(places[0].value, layout)
        pieces = [name for run in _runs(places) for name in self._pieces(*run, layout)]
        if len(pieces) == 1:
            return pieces[0]
        expression = f"torch.cat([{', '.join(pieces)}], {1 if layout == Layout.CHANNELS else 0})"
        self.copies += expression not in self._known
        return self.once(expression)

    def plain(self, member: tuple[int, Var]) -> str:
        """Returns the name of the value of one model, (N, ...)."""
        place = self._places[member]
        if place.value.layout == Layout.SHARED:
            return place.value.name
        [name] = self._pieces(place.value, place.index, place.index + 1, Layout.FOLDED)
        return name

    def _pieces(self, value: LaidOutValue, start: int, stop: int, layout: Layout) -> list[str]:
        """Returns tensors in a layout that together hold the models start to stop of a value."""
        if value.layout == Layout.SHARED:
            size = stop - start
            return [self.once(f"spread({value.name}, {size}, {layout.value!r})")]
        self.cuts[value.number] |= {0, start, stop, value.size}
        cuts = self._planned[value.number] if self._planned else range(value.size + 1)
        bounds = sorted(cuts)
        if len(bounds) == 2:
            return [self._as(value, layout)]
        sizes = [b - a for a, b in pairwise(bounds)]
        split = self.once(f"parts({value.name}, {sizes}, {value.layout.value!r})")
        return [
            self._as(LaidOutValue(f"{split}[{i}]", value.layout, b - a, 0), layout)
            for i, (a, b) in enumerate(pairwise(bounds))
            if start <= a < stop
        ]

    def _as(self, value: LaidOutValue, layout: Layout) -> str:
        """Returns the name of a value in another layout."""
        name, size = value.name, value.size
        if value.layout == layout or (size == 1 and Layout.STACKED not in (value.layout, layout)):
            return name
        if value.layout != Layout.STACKED:
            if size == 1:
                name = f"{name}.unsqueeze(0)"
            elif value.layout == Layout.FOLDED:
                name = f"{name}.unflatten(0, ({size}, -1))"
            else:
                name = f"stacked_from_channels({name}, {size})"
            name = self.once(name)
        if layout == Layout.STACKED:
            return name
        if size == 1:
            return self.once(f"{name}.squeeze(0)")
        if layout == Layout.FOLDED:
            return self.once(f"{name}.flatten(0, 1)")
        return self.once(f"channels_from_stacked({name})")

    # Calls

    def call(
        self, function: str, args: Any, kwargs: Any, tensor: Callable[[Var], str], times: int = 1
    ) -> str:
        """Returns the source of a call. `tensor` returns the name of a Var; batches are `times` as
        large as that of one model."""

        def write(argument: Any) -> Written:
            if type(argument) is Var:
                return Written(tensor(argument))
            if type(argument) is BatchSize:
                return Written(f"{times * argument.times} * n")
            if type(argument) is Ref:
                return Written(self.bind(locate(argument.target)))
            if isinstance(argument, float) and not math.isfinite(argument):  # without a literal
                return Written(self.bind(argument))
            return Written(repr(argument))

        written = [repr(rebuild(arg, write)) for arg in args]
        written += [f"{name}={rebuild(arg, write)!r}" for name, arg in kwargs.items()]
        return f"{function}({', '.join(written)})"


def _runs(places: Sequence[ValuePart]) -> list[tuple[LaidOutValue, int, int]]:
    """Returns consecutive places as runs of values: (value, start, stop)."""
    runs: list[tuple[LaidOutValue, int, int]] = []
    for place in places:
        value, start, stop = runs[-1] if runs else (None, 0, 0)
        shared = place.value.layout == Layout.SHARED
        if value is place.value and (shared or stop == place.index):
            runs[-1] = (place.value, start, stop + 1)
        else:
            runs.append((place.value, place.index, place.index + 1))
    return runs


@final
class Written:
    """Source code, whose repr is the code itself."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text
