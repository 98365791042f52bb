"""Which channels stand where: the channels of coupled layers, followed to all that takes them."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor, nn

from runner.graph.argument import Call
from runner.graph.graph import Graph
from runner.graph.tracks import LOST, Track, Tracks
from runner.graph.unit import Unit
from runner.graph.widths.fitting import Fitter
from runner.graph.widths.layers import GROUPS, called_with, fitted, numbers, output_numbers
from runner.graph.widths.mending import mended
from runner.graph.widths.places import Change, Place, leaves, put, resized
from runner.graph.widths.resizing import Resizing
from runner.graph.widths.source import Source
from runner.graph.widths.tape import Step
from runner.nn.history import tensors_in

Codes = tuple[int, ...]  # the number of the channel at each place, counted over all groups; 0: none


@final
@dataclass(frozen=True)
class Found:
    """What is known of one dimension of a tensor; see `Track`."""

    codes: Codes
    makes: bool
    mixes: bool


def tracks(graph: Graph, widths: Mapping[str, Sequence[Source]]) -> Tracks:
    """The tracks of a graph's tensors, for the sources of widths by the labels of their choices.
    Sources that the graph does not have, or has with another size than
    the first of their group, are left out. Raises GraphError for a graph that does not take its
    example."""
    tracking = _Tracking(Resizing(graph).unchanged, widths)
    tracking.follow()
    return tracking.tracks()


@final
class _Tracking:
    """One pass over the steps of a run."""

    def __init__(self, run: Fitter, widths: Mapping[str, Sequence[Source]]) -> None:
        self.run = run
        self.sizes: dict[str, int] = {}
        self._first: dict[str, int] = {}  # the number before that of a group's first channel
        self._sources: dict[tuple[str, str, str], list[tuple[Place, str]]] = {}
        self._codes: dict[int, dict[int, Codes]] = {}  # id of a tensor -> dimension -> codes
        self._found: dict[str, dict[int, Found]] = {}  # of tensors in the state_dict
        self._same: dict[int, int] = {}  # channels that meet in one place, as one of them
        self._lost: set[str] = set()  # groups whose channels cannot be told apart somewhere
        self._unknown: dict[str, Codes] = {}  # tensors that use channels in some other way
        for label, sources in widths.items():
            for source in sources:
                where = (source.kind, source.path, source.name)
                self._sources.setdefault(where, []).append((source.place, label))

    def follow(self) -> None:
        """Go through all steps in order."""
        for step in self.run.tape.steps:
            if step.tensor:
                self._taken(step)
            elif step.unit is not None:
                self._layer(step)
            else:
                self._call(step)

    def tracks(self) -> Tracks:
        """What was found. Groups whose channels stand in one dimension are one."""
        names: dict[str, str] = {label: label for label in self._first}
        seen = [found.codes for dims in self._found.values() for found in dims.values()]
        for codes in [*seen, *self._unknown.values(), *self._same.items()]:
            first, *others = dict.fromkeys(names[label] for label in self._labels(codes))
            names = {label: first if n in others else n for label, n in names.items()}
        sizes = Counter[str]()
        for label, name in names.items():
            sizes[name] += self.sizes[label]
        lost = {names[label] for label in self._lost}
        made: dict[str, dict[int, Track]] = {}
        for tensor, dims in self._found.items():
            for dim, found in dims.items():
                group = names[next(self._labels(found.codes))]
                channels = tuple(self._one(code) - 1 for code in found.codes)
                if group in lost or tensor in self._unknown:
                    channels = (LOST,) * sizes[group]
                made.setdefault(tensor, {})[dim] = Track(group, channels, found.makes, found.mixes)
        for tensor, codes in self._unknown.items():
            group = names[next(self._labels(codes))]
            made.setdefault(tensor, {0: Track(group, (LOST,) * sizes[group], makes=False)})
        return made

    def _labels(self, codes: Sequence[int]) -> Iterator[str]:
        """The groups that have channels among some."""
        there = {*codes}
        for label, first in self._first.items():
            if not there.isdisjoint(range(first + 1, first + self.sizes[label] + 1)):
                yield label

    def _begin(self, label: str, size: int) -> Codes | None:
        """The codes of a dimension that makes the channels of a group, of the group's size."""
        if self.sizes.setdefault(label, size) != size:
            return None
        if label not in self._first:
            self._first[label] = sum(self.sizes[other] for other in self._first)
        return tuple(range(self._first[label] + 1, self._first[label] + size + 1))

    def _note(self, name: str, dim: int, codes: Codes, *, makes: bool, mixes: bool = False) -> None:
        if any(codes):
            self._found.setdefault(name, {}).setdefault(dim, Found(codes, makes, mixes))

    def _mark(self, tensor: Tensor, dim: int, codes: Codes) -> None:
        known = self._codes.setdefault(id(tensor), {})
        before = known.get(dim)
        if before is not None:
            self._meet(before, codes)
            codes = tuple(a or b for a, b in zip(before, codes, strict=True))
        known[dim] = codes

    # Channels that meet, and those that are lost

    def _meet(self, one: Codes, other: Codes) -> None:
        """Channels that stand in one place, as where halves are multiplied, are chosen together."""
        if len(one) != len(other):
            self._lose(one)
            self._lose(other)
            return
        for a, b in zip(one, other, strict=True):
            if a and b and self._one(a) != self._one(b):
                low, high = sorted((self._one(a), self._one(b)))
                self._same[high] = low

    def _one(self, code: int) -> int:
        while code in self._same:
            code = self._same[code]
        return code

    def _lose(self, codes: Codes) -> None:
        self._lost.update(self._labels(codes))

    # Tensors that a unit holds

    def _taken(self, step: Step) -> None:
        assert step.unit is not None
        path = self.run.paths[step.unit]
        for (dim,), label in self._sources.get(("tensor", path, step.tensor), ()):
            if codes := self._begin(label, step.result.shape[int(dim)]):
                self._note(_name(path, step.tensor), int(dim), codes, makes=True)
        for dim, found in self._found.get(_name(path, step.tensor), {}).items():
            self._mark(step.result, dim, found.codes)

    # Layers

    def _layer(self, step: Step) -> None:
        unit, call = step.unit, step.call
        assert unit is not None and call is not None
        path = self.run.paths[unit]
        for place, label in self._sources.get(("layer", path, ""), ()):
            self._source(step, path, place, label)
        for entry, tensor, dim, codes in self._given(step):
            given = wider(step, entry, tensor, dim)
            try:
                found = fitted(self.run.make, unit, call, *given, step.before.leaves, {})
            except Exception:
                self._lose(codes)
                continue
            passes = self._passed(step, found.result, dim, codes)
            if found.numbers:
                other = self.run.make(unit, called_with(call, found.numbers))
                self._state(unit, call, other, codes, makes=False, mixes=not passes)
            if not passes and in_parts(call):
                self._part(unit, call, codes)

    def _source(self, step: Step, path: str, place: Place, label: str) -> None:
        """The channels that a layer makes."""
        unit, call = step.unit, step.call
        assert unit is not None and call is not None
        known = numbers(call).get(place)
        if known is None or (codes := self._begin(label, known)) is None:
            return
        made = output_numbers(self.run.make, unit, call, step.args, step.kwargs, only=place)
        for _, number, now in made:
            other = self.run.make(unit, called_with(call, {place: number}))
            self._state(unit, call, other, codes, makes=True, mixes=False)
            if in_parts(call):
                self._part(unit, call, codes)
            self._passed(step, now, -1, codes)
            return
        self._lose(codes)

    def _part(self, unit: Unit, call: Call, codes: Codes) -> None:
        """The weights of a layer each of whose parts sees a part of the channels only: which ones
        is not told by any dimension."""
        for name, tensor in self.run.make(unit, call).state_dict().items():
            if tensor.dim() > 1:
                self._unknown[_name(self.run.paths[unit], name)] = codes

    def _state(
        self, unit: Unit, call: Call, other: nn.Module, codes: Codes, *, makes: bool, mixes: bool
    ) -> None:
        """The tensors of a layer that another width changes."""
        path, before = self.run.paths[unit], self.run.make(unit, call).state_dict()
        for last, now in other.state_dict().items():
            if last not in before or now.dim() != before[last].dim():
                continue
            name = _name(path, last)
            for dim, size in enumerate(before[last].shape):
                if size == now.shape[dim]:
                    continue
                if size == len(codes):
                    self._note(name, dim, codes, makes=makes, mixes=mixes)
                elif makes:  # as the gates of a recurrent layer, which are several for a channel
                    self._lose(codes)
                else:
                    self._unknown[name] = codes

    # Calls

    def _call(self, step: Step) -> None:
        path, function, at = step.node
        for (where, *place), label in self._sources.get(("number", path, function), ()):
            known = leaves(step.args, step.kwargs).get(tuple(place))
            if where == at and known is not None and (codes := self._begin(label, known)):
                self._lose(codes)  # it says how many there are, and not which
        for entry, tensor, dim, codes in self._given(step):
            try:
                done = mended(step.run, *wider(step, entry, tensor, dim), step.before)
            except Exception:
                self._lose(codes)
                continue
            passes = self._passed(step, done.result, dim, codes)
            given = leaves(step.args, step.kwargs)
            for beside, dims in done.operands.items():
                self._beside(given[beside], dims, codes, passes=passes)

    def _beside(
        self, tensor: Tensor, dims: Mapping[int, Change], codes: Codes, *, passes: bool
    ) -> None:
        """What stands beside channels in a call, and has to be as many: others, or weights."""
        maker = self.run.tape.maker(tensor)
        for dim in dims:
            if other := self._codes.get(id(tensor), {}).get(dim):
                self._meet(codes, other)
            if maker is not None and maker.tensor and maker.unit is not None:
                name = _name(self.run.paths[maker.unit], maker.tensor)
                known = self._found.get(name, {}).get(dim)
                if known is not None and not passes:
                    self._found[name][dim] = Found(known.codes, makes=False, mixes=True)

    def _given(self, step: Step) -> Iterator[tuple[Place, Tensor, int, Codes]]:
        for place, value in leaves(step.args, step.kwargs).items():
            if isinstance(value, Tensor):
                for dim, codes in [*self._codes.get(id(value), {}).items()]:
                    yield place, value, dim, codes

    def _passed(self, step: Step, now: Any, dim: int, codes: Codes) -> bool:
        """Mark the dimensions of what a step gives that another width of what it is given
        changes: with the same channels where they stay where they are, else with what becomes of
        them. Gives whether there are any."""
        passes = False
        made, made_now = [*tensors_in(step.result)], [*tensors_in(now)]
        if len(made) != len(made_now):
            self._lose(codes)
            return True
        for i, (tensor, other) in enumerate(zip(made, made_now, strict=True)):
            if tensor.dim() != other.dim():
                self._lose(codes)
                continue
            changed = [d for d in range(tensor.dim()) if tensor.shape[d] != other.shape[d]]
            passes = passes or bool(changed)
            for d in changed:
                stays = tensor.shape[d] == len(codes) and len(changed) == 1 and not moves(step)
                after = codes if stays else self._moved(step, i, d) if dim >= 0 else None
                if after is None:
                    self._lose(codes)
                else:
                    self._mark(tensor, d, after)
        return passes

    def _moved(self, step: Step, index: int, dim: int) -> Codes | None:
        """The channels along a dimension of what a step gives, found by running it on their
        numbers; None where they do not stand along it, or the step does more than move them."""
        new = {}
        for place, value in leaves(step.args, step.kwargs).items():
            if isinstance(value, Tensor):
                if not value.dtype.is_floating_point:
                    return None  # an index, whose values are not known
                new[place] = _numbered(value, self._codes.get(id(value), {}))
        try:
            result = step.run(*put(step.args, step.kwargs, new))
        except Exception:
            return None
        lines = [*tensors_in(result)][index].transpose(0, dim).flatten(1)  # (size, rest)
        if not lines.isfinite().all() or not (lines == lines[:, :1]).all():
            return None
        values = lines[:, 0].tolist()
        last = sum(self.sizes.values())
        whole = all(value == int(value) and 0 <= value <= last for value in values)
        return tuple(map(int, values)) if whole else None


MOVES = frozenset(["flip", "fliplr", "flipud", "roll", "rot90", "getitem", "index_select", "gather",
                   "channel_shuffle", "take_along_dim", "sort", "ChannelShuffle"])  # fmt: skip


def moves(step: Step) -> bool:
    """Whether a step may put channels in another order, where there are as many as before."""
    if step.unit is not None:
        return step.unit.name in MOVES
    target = step.name.rpartition(": ")[2]
    return target.rpartition(":")[2] in MOVES or (
        not target.startswith(("torch", "operator")) and (":" in target)
    )


def wider(step: Step, place: Place, tensor: Tensor, dim: int) -> tuple[list[Any], dict[str, Any]]:
    """What a step is given, with twice the size in one dimension of one tensor."""
    twice = resized(tensor, {dim: 2 * tensor.shape[dim]})
    return put(step.args, step.kwargs, {place: twice})


def in_parts(call: Call) -> bool:
    """Whether a layer deals with several channels at once, but not with all: a convolution of
    groups that are no single channels."""
    found = numbers(call)
    groups = [number for place, number in found.items() if GROUPS in str(place[0]) and number > 1]
    return any(list(found.values()).count(number) < 3 for number in groups)


def _numbered(tensor: Tensor, dims: Mapping[int, Codes]) -> Tensor:
    """A tensor that holds the numbers of the channels along a dimension, or zeros."""
    dtype = tensor.dtype if tensor.dtype.is_floating_point else torch.int64
    made = torch.zeros(tensor.shape, dtype=torch.float64 if dtype.is_floating_point else dtype,
                       device="cpu")  # fmt: skip
    if dims:
        dim, codes = next(iter(dims.items()))
        shape = [-1 if d == dim else 1 for d in range(tensor.dim())]
        made = made + torch.tensor(codes, dtype=made.dtype, device="cpu").view(shape)
    return made


def _name(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
