"""Which channels stand where: the channels of coupled layers, followed to all that takes them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, final

import torch
from torch import Tensor, nn

from runner.graph.graph import Graph
from runner.graph.tracks import Track, Tracks
from runner.graph.widths.fitting import Fitter
from runner.graph.widths.layers import called_with, fitted, numbers
from runner.graph.widths.layers import other as another
from runner.graph.widths.mending import mended
from runner.graph.widths.places import Change, Place, leaves, put, resized, tensors_in
from runner.graph.widths.resizing import Resizing
from runner.graph.widths.source import Source
from runner.graph.widths.tape import Step

Codes = tuple[int, ...]  # the number of the channel at each place, counted over all groups; 0: none


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
        self._found: dict[str, dict[int, tuple[Codes, bool]]] = {}  # of tensors in the state_dict
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
        for dims in self._found.values():
            for codes, _ in dims.values():
                first, *others = dict.fromkeys(names[label] for label in self._labels(codes))
                names = {label: first if n in others else n for label, n in names.items()}
        return {
            name: {
                dim: Track(names[next(self._labels(codes))], tuple(c - 1 for c in codes), makes)
                for dim, (codes, makes) in dims.items()
            }
            for name, dims in self._found.items()
        }

    def _labels(self, codes: Codes) -> Iterator[str]:
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

    def _note(self, name: str, dim: int, codes: Codes, *, makes: bool) -> None:
        if any(codes):
            self._found.setdefault(name, {}).setdefault(dim, (codes, makes))

    def _mark(self, tensor: Tensor, dim: int, codes: Codes) -> None:
        known = self._codes.setdefault(id(tensor), {})
        before = known.get(dim)
        if before is not None and len(before) == len(codes):
            codes = tuple(a or b for a, b in zip(before, codes, strict=True))
        known[dim] = codes

    # Tensors that a unit holds

    def _taken(self, step: Step) -> None:
        assert step.unit is not None
        path = self.run.paths[step.unit]
        for (dim,), label in self._sources.get(("tensor", path, step.tensor), ()):
            if codes := self._begin(label, step.result.shape[int(dim)]):
                self._note(_name(path, step.tensor), int(dim), codes, makes=True)
                self._mark(step.result, int(dim), codes)
        for dim, (codes, _) in self._found.get(_name(path, step.tensor), {}).items():
            self._mark(step.result, dim, codes)

    # Layers

    def _layer(self, step: Step) -> None:
        unit, call = step.unit, step.call
        assert unit is not None and call is not None
        path = self.run.paths[unit]
        for place, label in self._sources.get(("layer", path, ""), ()):
            self._source(step, path, place, label)
        for entry, tensor, dim, codes in self._given(step):
            change = Change(tensor.shape[dim], 2 * tensor.shape[dim])
            args, kwargs = put(step.args, step.kwargs, {entry: resized(tensor, {dim: change.new})})
            try:
                found = fitted(self.run.make, unit, call, args, kwargs, step.before.leaves, {})
            except Exception:
                continue
            if found.numbers:
                wider = self.run.make(unit, called_with(call, found.numbers))
                self._state(unit, call, wider, codes, makes=False)
            self._passed(step, found.result, dim, codes)

    def _source(self, step: Step, path: str, place: Place, label: str) -> None:
        """The channels that a layer makes."""
        unit, call = step.unit, step.call
        assert unit is not None and call is not None
        known = numbers(call).get(place)
        if known is None or (codes := self._begin(label, known)) is None:
            return
        try:
            wider = self.run.make(unit, called_with(call, {place: another(known)}))
            now = wider(*step.args, **step.kwargs)
        except Exception:
            return
        self._state(unit, call, wider, codes, makes=True)
        self._passed(step, now, -1, codes)

    def _state(self, unit: Any, call: Any, wider: nn.Module, codes: Codes, *, makes: bool) -> None:
        """The tensors of a layer that another width changes."""
        path, before = self.run.paths[unit], self.run.make(unit, call).state_dict()
        for name, now in wider.state_dict().items():
            if name in before and now.dim() == before[name].dim():
                for dim, size in enumerate(before[name].shape):
                    if size != now.shape[dim] and size == len(codes):
                        self._note(_name(path, name), dim, codes, makes=makes)

    # Calls

    def _call(self, step: Step) -> None:
        path, function, at = step.node
        for (where, *place), label in self._sources.get(("number", path, function), ()):
            known = leaves(step.args, step.kwargs).get(tuple(place))
            if where == at and known is not None and (codes := self._begin(label, known)):
                for tensor in tensors_in(step.result):
                    for dim, size in enumerate(tensor.shape):
                        if size == known:
                            self._mark(tensor, dim, codes)
        for entry, tensor, dim, codes in self._given(step):
            change = Change(tensor.shape[dim], 2 * tensor.shape[dim])
            args, kwargs = put(step.args, step.kwargs, {entry: resized(tensor, {dim: change.new})})
            try:
                done = mended(step.run, args, kwargs, step.before)
            except Exception:
                continue
            self._passed(step, done.result, dim, codes)

    def _given(self, step: Step) -> Iterator[tuple[Place, Tensor, int, Codes]]:
        for place, value in leaves(step.args, step.kwargs).items():
            if isinstance(value, Tensor):
                for dim, codes in [*self._codes.get(id(value), {}).items()]:
                    yield place, value, dim, codes

    def _passed(self, step: Step, now: Any, dim: int, codes: Codes) -> None:
        """Mark the dimensions of what a step gives that another width of what it is given
        changes: with the same channels where the size is the same, else with what becomes of
        them."""
        for i, (tensor, other) in enumerate(
            zip(tensors_in(step.result), tensors_in(now), strict=False)
        ):
            if tensor.dim() != other.dim():
                continue
            changed = [d for d in range(tensor.dim()) if tensor.shape[d] != other.shape[d]]
            for d in changed:
                if tensor.shape[d] == len(codes) and len(changed) == 1:
                    self._mark(tensor, d, codes)
                elif dim >= 0 and (moved := self._moved(step, i, d)):
                    self._mark(tensor, d, moved)

    def _moved(self, step: Step, index: int, dim: int) -> Codes | None:
        """The channels along a dimension of what a step gives, found by running it on their
        numbers; None where they do not stand along it, or the step does more than move them."""
        new = {}
        for place, value in leaves(step.args, step.kwargs).items():
            if isinstance(value, Tensor):
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


def _numbered(tensor: Tensor, dims: Mapping[int, Codes]) -> Tensor:
    """A tensor that holds the numbers of the channels along a dimension, or zeros."""
    dtype = tensor.dtype if tensor.dtype.is_floating_point else torch.int64
    made = torch.zeros(tensor.shape, dtype=torch.float64 if dtype.is_floating_point else dtype,
                       device="cpu")  # fmt: skip
    for dim, codes in dims.items():
        shape = [-1 if d == dim else 1 for d in range(tensor.dim())]
        made = made + torch.tensor(codes, dtype=made.dtype, device="cpu").view(shape)
        break
    return made


def _name(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
