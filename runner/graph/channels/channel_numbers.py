"""Channel ids: allocates them per source of a width, unifies them, and groups coupled sources."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import final

from runner.graph.channels.tracks import LOST
from runner.graph.ir.width_source import Source

Codes = tuple[int, ...]  # the channel id at each index of a dimension; 0 for none


@final
@dataclass(frozen=True)
class ChannelRange:
    """The channel ids of a source: `first` + 1 to `first` + `size`. `label` is that of the choice
    which sets its width."""

    label: str
    first: int
    size: int


@final
class Channels:
    """The channels of all sources, each with a unique id."""

    def __init__(self) -> None:
        self._makers: dict[Source, ChannelRange] = {}
        self._same: dict[int, int] = {}  # union-find: channel id -> unified, lower id
        self._lost: set[Source] = set()  # with channels of unknown position somewhere
        self._found: set[Source] = set()  # whose channels were located in an output

    def begin(self, source: Source, label: str, size: int) -> Codes | None:
        """Returns the ids of a source's channels, allocating them on the first call; None if `size`
        differs from that of the first call."""
        if source not in self._makers:
            first = sum(maker.size for maker in self._makers.values())
            self._makers[source] = ChannelRange(label, first, size)
        maker = self._makers[source]
        return tuple(range(maker.first + 1, maker.first + size + 1)) if maker.size == size else None

    def found(self, source: Source) -> None:
        """Records that the output channels of a source were located; otherwise they are lost."""
        self._found.add(source)

    def meet(self, one: Codes, other: Codes) -> None:
        """Unifies channels index by index, as for a product; if lengths differ, both are lost."""
        if len(one) != len(other):
            self.lose(one)
            self.lose(other)
            return
        for a, b in zip(one, other, strict=True):
            self.join(a, b)

    def join(self, a: int, b: int) -> None:
        """Unifies two channels."""
        if a and b and self.one(a) != self.one(b):
            low, high = sorted((self.one(a), self.one(b)))
            self._same[high] = low

    def one(self, code: int) -> int:
        """Returns the lowest id among the channels unified with a channel."""
        while code in self._same:
            code = self._same[code]
        return code

    def lose(self, codes: Codes) -> None:
        """Records that the positions of the channels of some sources are unknown."""
        self._lost.update(self.makers_of(codes))

    def makers_of(self, codes: Sequence[int]) -> Iterator[Source]:
        """Returns the sources of some channels, in order of allocation."""
        sources = [*self._makers]
        ends = [*accumulate(maker.size for maker in self._makers.values())]
        places = {bisect_left(ends, code) for code in {*codes} if code}
        return (sources[place] for place in sorted(places))

    def groups(self, together: Sequence[Codes]) -> "Groups":
        """Returns the groups of sources whose channels occur in one dimension, or are unified."""
        first = {source: source for source in self._makers}
        order = {source: place for place, source in enumerate(self._makers)}
        met = dict.fromkeys(tuple(self.makers_of(c)) for c in (*together, *self._same.items()))
        for sources in met:
            known = {first[source] for source in sources}
            into = min(known, key=order.__getitem__)
            first = {source: into if one in known else one for source, one in first.items()}
        names, counts = dict[Source, str](), Counter[str]()
        for source in dict.fromkeys(first.values()):
            label = self._makers[source].label
            counts[label] += 1
            names[source] = label if counts[label] == 1 else f"{label}#{counts[label]}"
        group = {source: names[one] for source, one in first.items()}
        sizes = Counter[str]()
        for source, maker in self._makers.items():
            sizes[group[source]] += maker.size
        lost = self._lost | (self._makers.keys() - self._found)
        return Groups(self, group, sizes, {group[source] for source in lost})


@final
@dataclass(frozen=True)
class Groups:
    """Coupled sources, whose channels are chosen together. A group is named by the label of its
    first source's choice, with a numeric suffix if an earlier group has the same label."""

    channels: Channels
    names: Mapping[Source, str]
    sizes: Mapping[str, int]
    lost: set[str]

    def placed(self, codes: Codes) -> tuple[str, tuple[int, ...]]:
        """Returns the group of some channels and their 0-based ids; all LOST if the group is."""
        group = self.names[next(self.channels.makers_of(codes))]
        if group in self.lost:
            return group, (LOST,) * self.sizes[group]
        return group, tuple(self.channels.one(code) - 1 for code in codes)


def both(one: Codes, other: Codes) -> Codes:
    """Merges two codes index by index, preferring the first where both have a channel."""
    return tuple(a or b for a, b in zip(one, other, strict=False))
