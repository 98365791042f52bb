"""Plans a weight transfer from two graphs: from which old tensor each new one is initialized."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypedDict, final

from runner.graph.channels.tracks import Track, Tracks
from runner.graph.ir.graph import Graph
from runner.graph.ir.unit import Unit, joined
from runner.graph.weight_transfer.function_changes import changes
from runner.graph.weight_transfer.pretrained import forget_loaded
from runner.graph.weight_transfer.run_length import RunLengths, to_runs

BLOCKS = "spaces.blocks:"  # classes of ours that are initialized as identities
UnitKey = tuple[object, ...]  # equal for corresponding units of two graphs


class ChannelMember(TypedDict):
    """A tensor of the old model that contains the channels of a group."""

    name: str
    dim: int
    channels: RunLengths  # at each place of the dimension
    makes: bool  # whether it computes them
    mixes: bool | None  # whether it sums over them; None: as its layer does


class ChannelGroup(TypedDict):
    """Channels that are selected together."""

    members: list[ChannelMember]
    classes: list[tuple[RunLengths, RunLengths]]  # old and new channels that are used alike


class Cut(TypedDict):
    """A dimension in which the channels of two models differ."""

    group: int  # its index in `TransferPlan.groups`
    old: RunLengths  # the channel at each place
    new: RunLengths
    uses: bool  # whether the tensor uses the channels rather than computing them
    mixes: bool | None  # whether it sums over them; None: as its layer does


class TransferPlan(TypedDict):
    """The source of each tensor of a model, as plain JSON; unchanged tensors are omitted."""

    moves: dict[str, str | None]  # path of a unit -> its path in the old model; see `source`
    identity: list[str]  # paths of inserted units, to be initialized as identities
    ready: list[str]  # those whose class already initializes them so
    groups: list[ChannelGroup]
    cuts: dict[str, dict[str, Cut]]  # tensor of the new model -> dimension -> cut
    changes: list[str]  # mutations that intentionally change the function


def mark(graph: Graph) -> Graph:
    """Returns a copy of the graph of a base model in which each unit records its path, without the
    weights that the model's code loaded: these are inherited from the model itself."""
    twin = graph.copy()
    for path, unit in twin.root.walk():
        unit.mark(origin=path)
    forget_loaded(twin)
    return twin


def inheritance(old: Graph, old_tracks: Tracks, new: Graph, new_tracks: Tracks) -> TransferPlan:
    """Returns what a new model inherits from an old one; both derive from one base model, see
    `mark`.

    Units of one class are matched by origin, those created by a mutator by path. If units repeat,
    the n-th inherits from the n-th, or else from the first: copies of a block inherit from the
    block. Dimensions without channel tracks are inherited if their sizes are equal.
    """
    moves = _moves(old, new)
    identity: list[str] = []
    ready: list[str] = []
    for path, unit in _inserted(new.root, ""):
        if source(path, moves) is None:
            (ready if unit.cls.target.startswith(BLOCKS) else identity).append(path)
    groups: list[ChannelGroup] = []
    cuts: dict[str, dict[str, Cut]] = defaultdict(dict)
    for pair in _pairs(moves, old_tracks, new_tracks).values():
        classes = _classes(pair)
        if all(dim.old.channels == dim.new.channels for dim in pair) and all(
            before == after for before, after in classes
        ):
            continue
        for dim in [dim for dim in pair if dim.new.held]:
            cuts[dim.name][str(dim.dim)] = Cut(
                group=len(groups), old=to_runs(dim.old.channels), new=to_runs(dim.new.channels),
                uses=not dim.new.makes, mixes=dim.new.mixes,
            )  # fmt: skip
        label = pair[0].old.group
        runs = [(to_runs(before), to_runs(after)) for before, after in classes]
        groups.append(ChannelGroup(members=_members(old_tracks, label), classes=runs))
    origins = {path: _origin(path, unit, old, moves)
               for path, unit in new.root.walk(repeated=True)}  # fmt: skip
    return TransferPlan(
        moves=moves, identity=identity, ready=ready, groups=groups, cuts=dict(cuts),
        changes=changes(old, new, origins, [*identity, *ready]),
    )  # fmt: skip


def source(name: str, moves: Mapping[str, str | None]) -> str | None:
    """Returns the name in the old model for a name in the new one; None if it is new.

    Names below a unit in `moves` are below its old path; all others are unchanged.
    """
    names = name.split(".")
    for end in range(len(names), 0, -1):
        path = ".".join(names[:end])
        if path in moves:
            before = moves[path]
            return None if before is None else joined(before, *names[end:])
    return name


# Units


def _moves(old: Graph, new: Graph) -> dict[str, str | None]:
    """Returns the old paths of all units that `source` would not find otherwise."""
    keys: dict[str, UnitKey] = {}
    known: dict[UnitKey, list[str]] = defaultdict(list)
    for path, unit in old.root.walk(repeated=True):
        keys[path] = _key(path, unit, keys)
        known[keys[path]].append(path)
    moves: dict[str, str | None] = {}
    here: dict[str, UnitKey] = {}
    counts: Counter[UnitKey] = Counter()
    for path, unit in new.root.walk(repeated=True):
        key = here[path] = _key(path, unit, here)
        usual = source(path, moves)
        number = counts[key]
        counts[key] += 1
        if usual is not None and keys.get(usual) == key:
            continue
        places = known[key]
        found = (places[number] if number < len(places) else places[0]) if places else None
        if found != usual:
            moves[path] = found
    return moves


def _origin(path: str, unit: Unit, old: Graph, moves: Mapping[str, str | None]) -> str | None:
    """Returns the path of a unit in the old graph; None if it is new."""
    before = source(path, moves) if path else ""
    found = None if before is None else old.root.find(before)
    return before if found is not None and found.cls.target == unit.cls.target else None


def _key(path: str, unit: Unit, keys: Mapping[str, UnitKey]) -> UnitKey:
    if unit.provenance.origin is not None:
        return (unit.provenance.origin, unit.cls.target)
    above, _, name = path.rpartition(".")
    return (keys.get(above, ()), name, unit.cls.target)


def _inserted(unit: Unit, path: str) -> Iterator[tuple[str, Unit]]:
    """Yields the outermost units that a mutator inserted."""
    if unit.provenance.inserted:
        yield path, unit
        return
    for name, child in unit.children.items():
        if child is not None:
            yield from _inserted(child, joined(path, name))


# Channels


@final
@dataclass(frozen=True)
class _Dimension:
    """A dimension of a tensor that has a track in both models."""

    name: str
    before: str  # its name in the old model
    dim: int
    old: Track
    new: Track


def _pairs(
    moves: Mapping[str, str | None], old_tracks: Tracks, new_tracks: Tracks
) -> Mapping[tuple[str, str], list[_Dimension]]:
    """Returns the dimensions of each group of the new model, by the group of the old one they
    derive from."""
    found: dict[tuple[str, str], list[_Dimension]] = defaultdict(list)
    for name, tracks in new_tracks.items():
        before = source(name, moves)
        olds = {} if before is None else old_tracks.get(before, {})
        for dim, new in tracks.items():
            if before is not None and dim in olds:
                old = olds[dim]
                found[new.group, old.group].append(_Dimension(name, before, dim, old, new))
    return found


def _classes(pair: list[_Dimension]) -> list[tuple[list[int], list[int]]]:
    """Returns classes of channels, old and new, that occur in the same tensors; channels of one
    class are interchangeable. The two halves of a chunk form two classes, and so do the groups of a
    norm if both models have them."""
    for dims in (pair, [dim for dim in pair if dim.new.held]):
        old, new = _signatures(dims, old=True), _signatures(dims, old=False)
        if old.keys() >= new.keys():
            break
    return [(old[signature], channels) for signature, channels in new.items() if signature in old]


def _signatures(
    pair: list[_Dimension], *, old: bool
) -> dict[frozenset[tuple[str, int]], list[int]]:
    where: dict[int, set[tuple[str, int]]] = defaultdict(set)
    for dim in pair:
        for channel in {c for c in (dim.old if old else dim.new).channels if c >= 0}:
            where[channel].add((dim.before, dim.dim))
    found: dict[frozenset[tuple[str, int]], list[int]] = defaultdict(list)
    for channel in sorted(where):
        found[frozenset(where[channel])].append(channel)
    return found


def _members(tracks: Tracks, group: str) -> list[ChannelMember]:
    return [
        _member(name, dim, track)
        for name, dims in tracks.items()
        for dim, track in dims.items()
        if track.group == group and track.held
    ]


def _member(name: str, dim: int, track: Track) -> ChannelMember:
    channels = to_runs(track.channels)
    return ChannelMember(
        name=name, dim=dim, channels=channels, makes=track.makes, mixes=track.mixes
    )
