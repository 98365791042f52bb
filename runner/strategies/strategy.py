"""The contract of strategies: propose samples and observe trials, without models or files."""

from abc import ABC, abstractmethod
from collections.abc import Collection
from random import Random
from typing import ClassVar, final

from runner.goals import Goals
from runner.space.sample import Sample, generator
from runner.space.space import Space
from runner.trial import Trial

LOST = 8  # refused proposals in a row after which learned knowledge is considered misleading


class NotYet(Exception):
    """Raised by `propose` if nothing can be proposed until a running trial has ended."""


class Strategy(ABC):
    """A fold over the record: proposals depend only on the trials observed so far.

    `propose(number)` draws its random numbers from `rng(number)`, never from a generator with
    running state, so that a resumed run continues exactly as the original would have.

    `exhausts` is whether it never proposes a sample twice, and raises StopIteration once a finite
    space is used up; of other strategies, proposals are replaced when they only repeat themselves.
    `learns` is whether it has a use for trials that it did not propose; one that has none is not
    told of samples that are given to a search (`first.py`).
    `random` is whether the last proposal was drawn at random, whatever the results so far, so that
    it shows what chance finds. `repeat_of` is the number of a trial whose sample the last proposal
    repeats on purpose, under another seed; None otherwise. `owes` is whether such repeats of
    samples that were proposed are still to come.

    `several` is whether it takes several objectives, and `goals` are those of the search, which are
    set before the first proposal. `parent` is the number of the finished trial that the last
    proposal was derived from, whose weights its model may start from; None without one. `parents`
    is the number of most recent trials that may become parents.

    `promotes` is whether it takes a fidelity, `goals.fidelity`: then the rung of a trial is part of
    its sample, and one with a parent has the sample of that but for a higher rung, and goes on with
    its training. `needed` are the numbers of the trials that others may go on from, or that running
    ones do.

    `varies` is whether its proposals depend on the random numbers of `rng`, so that `vary` makes it
    propose another sample for the same trial; a pre-screen (`screening.py`) chooses among several.
    What `observe` makes of a trial must then not depend on which of them it was. `fixed` is whether
    the last proposal is not open to such a choice.
    """

    several: ClassVar[bool] = False
    varies: ClassVar[bool] = False
    exhausts: ClassVar[bool] = False
    promotes: ClassVar[bool] = False
    learns: ClassVar[bool] = True
    goals: Goals = Goals()
    parent: int | None = None
    parents: int = 0
    random: bool = False
    repeat_of: int | None = None
    fixed: bool = False
    _variant: int = 0

    def __init__(self, space: Space, seed: int) -> None:
        self.space = space
        self.seed = seed

    @property
    def needed(self) -> Collection[int]:
        return ()

    @property
    def owes(self) -> bool:
        return False

    def vary(self, variant: int) -> None:
        """Selects the random numbers of the next proposals; 0: the usual ones."""
        self._variant = variant

    def rng(self, number: int, *purpose: str) -> Random:
        """Returns a generator of random numbers for the proposal of a trial."""
        variant = ("variant", self._variant) if self._variant else ()
        return generator(self.seed, number, *purpose, *variant)

    def check(self) -> None:  # noqa: B027
        """Raises an error if later proposals would, because of an argument. Called before a search,
        and must not change what is proposed."""

    @abstractmethod
    def propose(self, number: int) -> Sample:
        """Returns a sample for trial `number`. Raises StopIteration if nothing is left to propose,
        and NotYet if that depends on trials that are running.

        Numbers are ascending. A proposal that was never observed did not happen (the run ended in
        between) and is requested again.
        """

    @abstractmethod
    def observe(self, trial: Trial) -> None:
        """Observes a trial; called twice: when it is recorded (`trial.running`), and when it ends.

        Trials end in any order. On resume, all calls are repeated in their original order. Higher
        `trial.scores` are better, one per objective; failed trials have none. A trial with a
        `violation` breaks constraints.
        """


@final
class Refusals:
    """A count of refused trials in a row.

    A strategy learns nothing from refusals and may keep proposing similar samples; once `lost`, it
    should propose random ones until one is accepted.
    """

    def __init__(self) -> None:
        self._count = 0

    @property
    def lost(self) -> bool:
        return self._count >= LOST

    def observe(self, trial: Trial) -> None:
        """Counts a trial; must be called whenever `Strategy.observe` is."""
        if not trial.running:
            self._count = self._count + 1 if trial.refused else 0
