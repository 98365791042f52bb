"""Duplicates: a sample that was proposed before shares the result of its first trial."""

from collections.abc import Callable, Iterable
from hashlib import blake2b
from random import Random
from typing import final

from runner.errors import Refused
from runner.space.sample import Sample, sample_key
from runner.space.space import Space
from runner.trial import Trial

PATIENCE = 20  # repeated proposals in a row that raise the question whether any others are left
ASKED = 3  # repeated proposals in a row after which a strategy is not asked again
DRAWS = 100  # random samples among which a new one is looked for, before all are listed


@final
class Duplicates:
    """The first trial of each key, and the trials that wait for its result.

    `key` returns a text that is equal for samples of one model, and raises Refused for a sample
    that has none. Unless `enabled`, every sample counts as new.
    """

    def __init__(self, space: Space, key: Callable[[Sample], str], *, enabled: bool) -> None:
        self._space = space
        self._text = key
        self._is_enabled = enabled
        self._first: dict[str, int] = {}  # key -> number of the trial that had it first
        self._followers: dict[int, list[int]] = {}  # running trial -> trials that share its result
        self._repeats = 0  # in a row

    def __len__(self) -> int:
        """Returns the number of different keys."""
        return len(self._first)

    def key(self, sample: Sample) -> tuple[str, Refused | None]:
        """Returns a short text that is equal for equal trials, and why the sample was refused."""
        try:
            return _digest(self._text(sample)), None
        except Refused as refusal:
            return _digest(sample_key(sample)), refusal

    def first(self, key: str) -> int | None:
        """Returns the number of the trial whose result one with this key shares, if any."""
        return self._first.get(key) if self._is_enabled else None

    def observe(self, trial: Trial) -> None:
        """Counts a trial that was recorded; called as `Strategy.observe` is."""
        if trial.running and trial.repeat_of is None:
            first = self._first.setdefault(trial.key, trial.number)
            self._repeats = self._repeats + 1 if first != trial.number else 0

    def use_up_space(self) -> bool:
        """Returns True if every sample of a finite space was proposed, or would be refused.

        Enumerates the space only every PATIENCE repeats in a row, and only as far as it must.
        """
        if not self._is_enabled or not self._repeats or self._repeats % PATIENCE:
            return False
        try:
            keys = map(self.key, self._space.enumerate())
            return all(refusal is not None or key in self._first for key, refusal in keys)
        except ValueError:  # a continuous choice: there is always another
            return False

    @property
    def are_too_many(self) -> bool:
        """True if a strategy repeated itself so often in a row that it seems to know no others."""
        return self._is_enabled and self._repeats >= ASKED

    def new_sample(self, rng: Random) -> Sample | None:
        """Returns a random sample that was not proposed before, if possible one that is not
        refused: drawn, or else the first one that is left. None if all samples of a finite space
        were proposed."""
        refused: Sample | None = None
        for _ in range(DRAWS):
            sample = self._space.walk(lambda choice: choice.random(rng)).sample
            key, refusal = self.key(sample)
            if key not in self._first:
                if refusal is None:
                    return sample
                refused = refused or sample
        if refused is not None:
            return refused
        try:
            left = (s for s in self._space.enumerate() if self.key(s)[0] not in self._first)
            return next(left, None)
        except ValueError:  # a continuous choice: there is always another
            return self._space.random(rng)

    def follow(self, first: int, follower: int) -> None:
        """Registers a trial that shares the result of a running one."""
        self._followers.setdefault(first, []).append(follower)

    def followers(self, first: int) -> Iterable[int]:
        """Returns the trials that share the result of one that has ended, and forgets them."""
        return self._followers.pop(first, ())


def _digest(text: str) -> str:
    return blake2b(text.encode(), digest_size=8).hexdigest()
