"""Channels by numbers: those that sources of widths make, which of them are one, which are lost."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import final

from runner.graph.channels.tracks import LOST
from runner.graph.ir.width_source import Source

Codes = tuple[int, ...]  # the number of the channel at each place, over all sources; 0: none


@final
@dataclass(frozen=True)
class ChannelRange:
    """What a source makes: for which choice, the number before that of its first channel, and how
    many channels."""

    label: str
    first: int
    size: int


@final
class Channels:
    """The channels of all sources, each with a number of its own."""

    def __init__(self) -> None:
        self._makers: dict[Source, ChannelRange] = {}
        self._same: dict[int, int] = {}  # channels that meet in one place, as one of them
        self._lost: set[Source] = set()  # whose channels cannot be told apart somewhere
        self._found: set[Source] = set()  # whose channels were seen to come out

    def begin(self, source: Source, label: str, size: int) -> Codes | None:
        """The codes of a dimension that makes the channels of a source; None where it has another
        size than elsewhere."""
        if source not in self._makers:
            first = sum(maker.size for maker in self._makers.values())
            self._makers[source] = ChannelRange(label, first, size)
        maker = self._makers[source]
        return tuple(range(maker.first + 1, maker.first + size + 1)) if maker.size == size else None

    def found(self, source: Source) -> None:
        """Note that it is known where the channels of a source come out; else they are lost."""
        self._found.add(source)

    def meet(self, one: Codes, other: Codes) -> None:
        """Channels that stand in one place, as where halves are multiplied, are chosen together."""
        if len(one) != len(other):
            self.lose(one)
            self.lose(other)
            return
        for a, b in zip(one, other, strict=True):
            self.join(a, b)

    def join(self, a: int, b: int) -> None:
        """Have two channels be one."""
        if a and b and self.one(a) != self.one(b):
            low, high = sorted((self.one(a), self.one(b)))
            self._same[high] = low

    def one(self, code: int) -> int:
        """The first of the channels that are one with a channel."""
        while code in self._same:
            code = self._same[code]
        return code

    def lose(self, codes: Codes) -> None:
        """Note that it is not known where the channels of some sources stand."""
        self._lost.update(self.makers_of(codes))

    def makers_of(self, codes: Sequence[int]) -> Iterator[Source]:
        """The sources that have channels among some."""
        sources = [*self._makers]
        ends = [*accumulate(maker.size for maker in self._makers.values())]
        places = {bisect_left(ends, code) for code in {*codes} if code}
        return (sources[place] for place in sorted(places))

    def groups(self, together: Sequence[Codes]) -> "Groups":
        """The groups of sources whose channels stand together somewhere, or are one."""
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
    """Sources whose channels are chosen together: by the label of the first one's choice, with a
    number behind it where others of that choice are a group of their own."""

    channels: Channels
    names: Mapping[Source, str]
    sizes: Mapping[str, int]
    lost: set[str]

    def placed(self, codes: Codes) -> tuple[str, tuple[int, ...]]:
        """The group of some channels, and their numbers there; LOST for all, if they are."""
        group = self.names[next(self.channels.makers_of(codes))]
        if group in self.lost:
            return group, (LOST,) * self.sizes[group]
        return group, tuple(self.channels.one(code) - 1 for code in codes)


def both(one: Codes, other: Codes) -> Codes:
    """Codes where one or the other knows the channel."""
    return tuple(a or b for a, b in zip(one, other, strict=False))
