"""Random samples of a space without repetition."""

from random import Random
from typing import final

from runner.errors import SpaceError
from runner.space.sample import Sample, Walk, sample_key
from runner.space.space import Space

_DRAWS = 100  # after this many repeats in a row, the remaining samples are listed
_LISTED = 1000  # how many remaining samples are listed to pick from


@final
class Unseen:
    """The samples of a space that were not seen.

    After 100 repeated draws in a row, picks one of the first 1,000 remaining samples in order. A
    space with a continuous choice never ends.
    """

    def __init__(self, space: Space) -> None:
        self._space = space
        self._seen: set[str] = set()
        self._left: dict[str, Sample] = {}  # listed so far and not seen, in order
        self._listing = space.enumerate()
        self._endless = False

    def __contains__(self, sample: Sample) -> bool:
        return sample_key(sample) not in self._seen

    def draw(self, rng: Random) -> Sample:
        """Returns a sample that was not seen. Raises StopIteration if none is left."""
        for _ in range(_DRAWS):
            if fresh := self._draw(rng):
                return fresh.whole()
        self._list()
        if self._left:
            return rng.choice([*self._left.values()])
        while self._endless:
            if fresh := self._draw(rng):
                return fresh.whole()
        raise StopIteration

    def see(self, sample: Sample) -> None:
        """Records a sample that must not be drawn any more."""
        seen = sample_key(sample)
        self._seen.add(seen)
        self._left.pop(seen, None)

    def _draw(self, rng: Random) -> Walk | None:
        """Returns a random walk; None if its sample has been seen."""
        walk = self._space.walk(lambda choice: choice.random(rng))
        return None if sample_key(walk.sample) in self._seen else walk

    def _list(self) -> None:
        """Fills `_left`; the result depends only on the samples seen, not on earlier calls."""
        try:
            while len(self._left) < _LISTED and (sample := next(self._listing, None)) is not None:
                if (listed := sample_key(sample)) not in self._seen:
                    self._left[listed] = sample
        except SpaceError:  # a continuous choice cannot be listed
            self._endless = True
