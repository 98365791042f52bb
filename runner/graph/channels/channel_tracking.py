"""Channel tracking: propagates the channel ids of coupled layers to all tensors that use them."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

from torch import Tensor, nn

from runner.graph.channels.channel_numbers import Channels, Codes, both
from runner.graph.channels.channel_permutations import met, moves
from runner.graph.channels.layers import GROUPS, called_with, numbers, output_numbers, repair_step
from runner.graph.channels.operand_repair import Repair
from runner.graph.channels.recorded_run import RecordedStep
from runner.graph.channels.resize import Resizing
from runner.graph.channels.resizing_interpreter import ResizingInterpreter
from runner.graph.channels.tracks import LOST, Track, Tracks
from runner.graph.ir.argument import Call
from runner.graph.ir.argument_sizes import Numbers, Place, leaves, put, resized
from runner.graph.ir.graph import Graph
from runner.graph.ir.unit import Unit, joined
from runner.graph.ir.width_source import Source
from runner.nn.recording.tensor_history import tensors_in

DimensionKey = tuple[int, int]  # a dimension of a tensor: its id, and the dimension
Held = tuple[str, int]  # a dimension of a tensor in the state_dict


RECURRENT = (nn.RNNBase, nn.RNNCellBase)  # their weights stack the rows of all channels per gate


@final
@dataclass(frozen=True)
class Found:
    """The channels along one dimension of a tensor; see `Track`."""

    codes: Codes
    makes: bool
    mixes: bool
    own: bool = False  # the tensor is its own source: it makes them unless a layer uses it


def tracks(graph: Graph, widths: Mapping[str, Sequence[Source]]) -> Tracks:
    """Returns the tracks of a graph's tensors; `widths` maps the labels of choices to the sources
    of their widths. Sources that do not occur in the graph are skipped. Raises GraphError if the
    graph cannot be run on its example."""
    tracking = _Tracking(Resizing(graph).unchanged, widths)
    tracking.follow()
    return tracking.tracks()


@final
class _Tracking:
    """The channels of all tensors of a run, propagated step by step."""

    def __init__(self, run: ResizingInterpreter, widths: Mapping[str, Sequence[Source]]) -> None:
        self.run = run
        self.channels = Channels()
        self._owners = dict(run.graph.ties)  # of tensors with a second name
        self._sources: dict[tuple[str, str, str], list[tuple[Source, str]]] = {}
        self._codes: dict[int, dict[int, Codes]] = {}  # id of a tensor -> dimension -> codes
        self._found: dict[str, dict[int, Found]] = {}  # of tensors in the state_dict
        self._holds: dict[
            DimensionKey, set[Held]
        ] = {}  # the state_dict dimensions that a tensor's dimension holds
        self._seen: dict[str, Codes] = {}  # channels that occur together, by name of the location
        self._unknown: dict[str, Codes] = {}  # tensors that use channels in an unknown way
        self._early: dict[str, int] = {}  # number of dimensions known when code read a tensor
        self._counts = Counter[str]()  # of calls that split channels
        for label, sources in widths.items():
            for source in sources:
                where = (source.kind, source.path, source.name)
                self._sources.setdefault(where, []).append((source, label))

    def follow(self) -> None:
        """Propagates channels through all steps in order; a second time if code read a tensor
        before more of its dimensions became known, as when its layer runs later."""
        self._follow()
        if any(len(self._found.get(name, {})) > known for name, known in self._early.items()):
            self._follow()

    def _follow(self) -> None:
        self._counts.clear()
        for step in self.run.recorded.steps:
            if step.tensor:
                self._taken(step)
            elif step.unit is not None:
                self._layer(step)
            else:
                self._call(step)

    def tracks(self) -> Tracks:
        """Returns the tracks found. Sources that share a dimension form a group."""
        held = [found.codes for dims in self._found.values() for found in dims.values()]
        groups = self.channels.groups([*held, *self._seen.values(), *self._unknown.values()])
        made: dict[str, dict[int, Track]] = {}
        for tensor, dims in self._found.items():
            for dim, found in dims.items():
                group, channels = groups.placed(found.codes)
                if tensor in self._unknown:
                    channels = (LOST,) * groups.sizes[group]
                made.setdefault(tensor, {})[dim] = Track(group, channels, found.makes, found.mixes)
        for tensor, codes in self._unknown.items():
            group, _ = groups.placed(codes)
            made.setdefault(tensor, {0: Track(group, (LOST,) * groups.sizes[group], makes=False)})
        made |= {name: made[owner] for name, owner in self._owners.items() if owner in made}
        for place, codes in self._seen.items():
            group, channels = groups.placed(codes)
            if LOST not in channels:
                made[place] = {0: Track(group, channels, makes=False, mixes=False, held=False)}
        return made

    def _note(self, name: str, dim: int, found: Found) -> None:
        """Records the channels of a dimension of a tensor, unified with those recorded before, as
        for a tensor that is used twice or has two names."""
        if not any(found.codes):
            return
        dims = self._found.setdefault(self._owners.get(name, name), {})
        known = dims.get(dim, found)
        self.channels.meet(known.codes, found.codes)
        if len(known.codes) == len(found.codes):
            codes = both(known.codes, found.codes)
            by_layer = any(one.makes and not one.own for one in (known, found))
            makes = by_layer or (known.makes and found.makes)
            dims[dim] = Found(codes, makes, known.mixes or found.mixes, known.own and found.own)

    def _mark(self, tensor: Tensor, dim: int, codes: Codes) -> None:
        known = self._codes.setdefault(id(tensor), {})
        before = known.get(dim, codes)
        self.channels.meet(before, codes)
        known[dim] = both(before, codes)

    def _together(self, what: str, codes: Codes) -> None:
        """Records channels that occur together without the others, hence are chosen separately."""
        if any(codes):
            self._seen[what] = codes

    # Parameters and buffers of a unit

    def _taken(self, step: RecordedStep) -> None:
        assert step.unit is not None
        path, tensor = self.run.paths[step.unit], step.result
        name = joined(path, step.tensor)
        name = self._owners.get(name, name)
        for source, label in self._sources.get(("tensor", path, step.tensor), ()):
            dim = int(source.place[0])
            if codes := self.channels.begin(source, label, tensor.shape[dim]):
                self.channels.found(source)
                self._note(name, dim, Found(codes, makes=True, mixes=False, own=True))
        dims = self._found.get(name, {})
        self._early.setdefault(name, len(dims))
        for dim in range(tensor.dim()):
            self._holds.setdefault((id(tensor), dim), set()).add((name, dim))
            if dim in dims:
                self._mark(tensor, dim, dims[dim].codes)

    # Layers

    def _layer(self, step: RecordedStep) -> None:
        unit, call = step.unit, step.call
        assert unit is not None and call is not None
        for source, label in self._sources.get(("layer", self.run.paths[unit], ""), ()):
            self._source(step, source, label)
        for codes, passes, found in self._propagated(step):
            if found:
                other = self.run.make(unit, called_with(call, found))
                self._state(unit, call, other, codes, makes=False, mixes=not passes)
            if in_parts(call):
                self._parts(step, codes, passes=passes)

    def _propagated(self, step: RecordedStep) -> Iterator[tuple[Codes, bool, Numbers]]:
        """Propagates the channels of each input of a step by doubling their number; yields them,
        whether they reach the result, and the constructor numbers that a layer then needs."""
        for place, tensor, dim, codes in self._given(step):
            try:
                done, found = repair_step(self.run.make, step, *wider(step, place, tensor, dim))
            except Exception:
                self.channels.lose(codes)
                continue
            passes = self._passed(step, done.result, dim, codes)
            self._beside(step, done, codes, passes=passes)
            yield codes, passes, found

    def _source(self, step: RecordedStep, source: Source, label: str) -> None:
        """Propagates the channels that a layer makes."""
        unit, call, place = step.unit, step.call, source.place
        assert unit is not None and call is not None
        known = numbers(call).get(place)
        if known is None or (codes := self.channels.begin(source, label, known)) is None:
            return
        made = output_numbers(self.run.make, unit, call, step.args, step.kwargs, only=place)
        for _, number, now in made:
            other = self.run.make(unit, called_with(call, {place: number}))
            self._state(unit, call, other, codes, makes=True, mixes=False)
            if in_parts(call):
                self._parts(step, codes, passes=False)
            self._passed(step, now, -1, codes, repeated=isinstance(other, RECURRENT))
            self.channels.found(source)
            return

    def _parts(self, step: RecordedStep, codes: Codes, *, passes: bool) -> None:
        """Records the groups of channels that a grouped layer processes separately, if it passes
        its channels on, as a group norm does. Otherwise no dimension of its weights says which
        channels they see: those of two or more dimensions are unknown."""
        unit, call = step.unit, step.call
        assert unit is not None and call is not None
        path = self.run.paths[unit]
        if not passes:
            for name, tensor in self.run.make(unit, call).state_dict().items():
                if tensor.dim() > 1:
                    self._unknown[joined(path, name)] = codes
            return
        count = next(n for place, n in numbers(call).items() if GROUPS in str(place[0]) and n > 1)
        if len(codes) % count == 0:
            size = len(codes) // count
            for i in range(count):
                self._together(f"{path}.#{i}", codes[i * size : (i + 1) * size])

    def _state(
        self, unit: Unit, call: Call, other: nn.Module, codes: Codes, *, makes: bool, mixes: bool
    ) -> None:
        """Records the dimensions of a layer's tensors that differ in `other`, of another width."""
        path, before = self.run.paths[unit], self.run.make(unit, call).state_dict()
        for last, now in other.state_dict().items():
            if last not in before or now.dim() != before[last].dim():
                continue
            name = joined(path, last)
            for dim, size in enumerate(before[last].shape):
                if size == now.shape[dim]:
                    continue
                if isinstance(other, RECURRENT) and size % len(codes) == 0:
                    gates = codes * (size // len(codes))
                    self._note(name, dim, Found(gates, makes=dim == 0, mixes=dim > 0))
                elif size == len(codes):
                    self._note(name, dim, Found(codes, makes, mixes))
                elif makes:
                    self.channels.lose(codes)
                else:
                    self._unknown[name] = codes

    # Calls

    def _call(self, step: RecordedStep) -> None:
        path, function, at = step.node
        for source, label in self._sources.get(("number", path, function), ()):
            where, *place = source.place
            known = leaves(step.args, step.kwargs).get(tuple(place))
            if where == at and known is not None:
                self.channels.begin(source, label, known)  # lost: it sets how many, not which
        for _ in self._propagated(step):
            pass
        self._hold(step)

    def _hold(self, step: RecordedStep) -> None:
        """Propagates state_dict dimensions through a call that maps one tensor to one tensor."""
        given = [v for v in leaves(step.args, step.kwargs).values() if isinstance(v, Tensor)]
        made = [*tensors_in(step.result)]
        if len(given) != 1 or len(made) != 1:
            return
        for dim, codes in self._codes.get(id(given[0]), {}).items():
            for after, same in self._codes.get(id(made[0]), {}).items():
                if same == codes and (held := self._holds.get((id(given[0]), dim))):
                    self._holds.setdefault((id(made[0]), after), set()).update(held)

    def _beside(self, step: RecordedStep, done: Repair, codes: Codes, *, passes: bool) -> None:
        """Unifies channels with those of co-resized operands, and records weights among these."""
        given = leaves(step.args, step.kwargs)
        for place, dims in done.operands.items():
            tensor = given[place]
            for dim in dims:
                if other := self._codes.get(id(tensor), {}).get(dim):
                    self.channels.meet(codes, other)
                for name, at in () if passes else self._holds.get((id(tensor), dim), ()):
                    if at in self._found.get(name, {}):
                        self._note(name, at, Found(codes, makes=False, mixes=True))

    def _given(self, step: RecordedStep) -> Iterator[tuple[Place, Tensor, int, Codes]]:
        for place, value in leaves(step.args, step.kwargs).items():
            if isinstance(value, Tensor):
                for dim, codes in [*self._codes.get(id(value), {}).items()]:
                    yield place, value, dim, codes

    def _passed(
        self, step: RecordedStep, now: Any, dim: int, codes: Codes, *, repeated: bool = False
    ) -> bool:
        """Propagates channels to every dimension of a step's result whose size differs in `now`,
        the result for another width: unchanged if their number and order are kept, otherwise as
        the step moves them. Returns whether there is such a dimension. With `repeated`, the
        channels may occur several times, as those of a recurrent layer, once per direction."""
        passes = False
        made, made_now = [*tensors_in(step.result)], [*tensors_in(now)]
        if len(made) != len(made_now):
            self.channels.lose(codes)
            return True
        for i, (tensor, other) in enumerate(zip(made, made_now, strict=True)):
            if tensor.dim() != other.dim():
                self.channels.lose(codes)
                continue
            changed = [d for d in range(tensor.dim()) if tensor.shape[d] != other.shape[d]]
            passes = passes or bool(changed)
            for d in changed:
                stays = tensor.shape[d] == len(codes) and len(changed) == 1 and not moves(step)
                after = codes if stays else self._moved(step, i, d) if dim >= 0 else None
                if repeated and tensor.shape[d] % len(codes) == 0:
                    after = codes * (tensor.shape[d] // len(codes))
                if after is None:
                    self.channels.lose(codes)
                else:
                    self._mark(tensor, d, after)
                    self._taken_apart(step, i, codes, after)
        return passes

    def _moved(self, step: RecordedStep, index: int, dim: int) -> Codes | None:
        """Returns the channels along a dimension of a step's result, unifying those that share an
        index; None if they cannot be traced."""
        known = {
            place: {d: tuple(map(self.channels.one, codes)) for d, codes in dims.items()}
            for place, value in leaves(step.args, step.kwargs).items()
            if isinstance(value, Tensor) and (dims := self._codes.get(id(value), {}))
        }
        found = met(step, index, dim, known)
        if found is None:
            return None
        for some in found:
            for code in some:
                self.channels.join(min(some), code)
        return tuple(self.channels.one(min(some)) if some else 0 for some in found)

    def _taken_apart(self, step: RecordedStep, index: int, codes: Codes, after: Codes) -> None:
        """Records the channels of a result that has only some of those passed in, such as a half.
        The call is identified by its unit, and its position among calls of its kind."""
        before, now = ({*map(self.channels.one, some)} - {0} for some in (codes, after))
        if now < before:
            path, function, _ = step.node
            target = step.name.rpartition(": ")[2] if step.unit is None else ""
            if step.unit is not None:
                path = self.run.paths[step.unit]
            what = joined(path, f"{function}:{target}")
            if index == 0:
                self._counts[what] += 1
            self._together(f"{what}#{self._counts[what]}/{index}", after)


def wider(
    step: RecordedStep, place: Place, tensor: Tensor, dim: int
) -> tuple[list[Any], dict[str, Any]]:
    """Returns the arguments of a step, with one dimension of one tensor doubled."""
    twice = resized(tensor, {dim: 2 * tensor.shape[dim]})
    return put(step.args, step.kwargs, {place: twice})


def in_parts(call: Call) -> bool:
    """Returns whether a layer is grouped but not depthwise: it has more than one group, but not as
    many as input and output channels."""
    found = numbers(call)
    groups = [number for place, number in found.items() if GROUPS in str(place[0]) and number > 1]
    return any(list(found.values()).count(number) < 3 for number in groups)
