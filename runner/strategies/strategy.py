"""Strategy: proposes samples, observes trials; sees no models, files or processes."""

from abc import ABC, abstractmethod
from typing import final

from runner.space.sample import Sample
from runner.space.space import Space
from runner.trial import Trial

LOST = 8  # so many refused proposals in a row: what was learned leads nowhere


class Strategy(ABC):
    """A strategy is a fold over the record: what it proposes follows from what it observed.

    `propose(number)` draws its random numbers from `generator(seed, number)` and never from a
    generator that runs on, so that a resumed run goes on exactly as the first would have.

    `parent` is the number of the trial that the last proposal was made from, a finished one, whose
    weights its model may start from; None where there is none. `parents` is of how many of the
    last trials one may be it.
    """

    parent: int | None = None
    parents: int = 0

    def __init__(self, space: Space, seed: int) -> None:
        self.space = space
        self.seed = seed

    @abstractmethod
    def propose(self, number: int) -> Sample:
        """A sample for trial `number`. Raises StopIteration when nothing is left to propose.

        Numbers come in ascending order. A proposal that was never observed did not take place
        (the run ended in between) and is asked for again.
        """

    @abstractmethod
    def observe(self, trial: Trial) -> None:
        """Called twice for each trial: when it was recorded (`trial.running`), and when it ended.

        Ends come in any order. On resume all calls are made again, in the order they were made
        first. More of `trial.score` is better; it is None for failed trials.
        """


@final
class Refusals:
    """Counts refused trials in a row.

    A strategy that learns from results learns nothing from them, and may propose the like again and
    again; once it is `lost`, it is to propose random samples, until one of them fits.
    """

    def __init__(self) -> None:
        self._count = 0

    @property
    def lost(self) -> bool:
        return self._count >= LOST

    def observe(self, trial: Trial) -> None:
        """To be called as `Strategy.observe` is."""
        if not trial.running:
            self._count = self._count + 1 if trial.refused else 0
