"""The walks of samples that a strategy returns to, each of which may build a model."""

from typing import final

from runner.space.sample import Sample, Walk, lookup, sample_key
from runner.space.space import Space


@final
class Walks:
    """The walks of samples of a space; those asked for last are remembered."""

    def __init__(self, space: Space, most: int) -> None:
        """Remembers at most so many walks."""
        self._space = space
        self._most = most
        self._known: dict[str, Walk] = {}  # by key of the sample, the one asked for last behind

    def of(self, sample: Sample) -> Walk:
        """Returns the walk that gives each choice the value of a sample; broken if it lacks one."""
        name = sample_key(sample)
        walk = self._known.pop(name, None) or self._space.walk(lookup(sample))
        self._known[name] = walk
        if len(self._known) > self._most:
            del self._known[next(iter(self._known))]
        return walk
