"""Duplicates: a sample that was proposed before shares the result of its first trial."""

from collections.abc import Iterable
from typing import final

from runner.trial import Trial

PATIENCE = 20  # repeated proposals in a row that raise the question whether any others are left


@final
class Duplicates:
    """Knows the first trial of each key, and the trials that wait for its result."""

    def __init__(self) -> None:
        self._first: dict[str, int] = {}  # key -> number of the trial that had it first
        self._followers: dict[int, list[int]] = {}  # running trial -> trials that share its result
        self._repeats = 0  # in a row

    def __len__(self) -> int:
        """The number of different keys."""
        return len(self._first)

    def __contains__(self, key: str) -> bool:
        return key in self._first

    @property
    def in_doubt(self) -> bool:
        """Whether proposals repeat so often that the space may be used up; true now and then."""
        return self._repeats > 0 and self._repeats % PATIENCE == 0

    def first(self, key: str) -> int | None:
        """The number of the first trial with a key; None for a new key."""
        return self._first.get(key)

    def add(self, trial: Trial) -> None:
        """Takes note of a proposed trial."""
        first = self._first.setdefault(trial.key, trial.number)
        self._repeats = self._repeats + 1 if first != trial.number else 0

    def follow(self, first: int, follower: int) -> None:
        """Has a trial share the result of a running one."""
        self._followers.setdefault(first, []).append(follower)

    def followers(self, first: int) -> Iterable[int]:
        """Returns the trials that share the result of one that has ended, and forgets them."""
        return self._followers.pop(first, ())
