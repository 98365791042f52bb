"""The stages of a run: the search, random samples to compare it with, and confirmation."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import final

from runner.display.format import counted
from runner.duplicates import Duplicates
from runner.fidelity import Fidelity
from runner.limits import RunLimits
from runner.ranking import pillars, top
from runner.repeats import SampleResults
from runner.screening import Screening
from runner.space.sample import DrawError, Sample, generator
from runner.space.space import Space
from runner.strategies.random import Random
from runner.strategies.repeated import Repeated
from runner.strategies.rungs import AtRung
from runner.strategies.strategy import NotYet, Strategy
from runner.trial import Proposal, Trial

FRUITLESS = 100  # random samples in a row that were refused: others will be, too
USED_UP = "the space is exhausted: every sample was tried"
Tell = Callable[[str], None]  # receives a sentence for the user


class Stage(ABC):
    """A part of a run that proposes trials of its own: a fold over the trials of all stages."""

    @abstractmethod
    def propose(self, number: int) -> Proposal:
        """Returns what trial `number` is to try. Raises StopIteration if this stage has nothing to
        propose, and NotYet if that depends on trials that are running."""

    @abstractmethod
    def observe(self, trial: Trial) -> None:
        """Observes a trial of any stage, as `Strategy.observe` does."""


def _drawn(strategy: Strategy, number: int) -> tuple[Sample, bool]:
    """Returns what a strategy proposes, and whether the space could draw it; the trial of a sample
    that it could not will fail, and leave the traceback in its folder."""
    try:
        return strategy.propose(number), True
    except DrawError as broken:
        return broken.sample, False


@final
class Stages:
    """Stages in order: one proposes trials once those before it have nothing to propose."""

    def __init__(self, stages: Sequence[Stage]) -> None:
        self._stages = stages

    def propose(self, number: int) -> Proposal:
        """Returns what trial `number` is to try. Raises StopIteration if nothing is left, and
        NotYet if that depends on trials that are running."""
        for stage in self._stages:
            try:
                return stage.propose(number)
            except StopIteration:
                continue
        raise StopIteration

    def observe(self, trial: Trial) -> None:
        for stage in self._stages:
            stage.observe(trial)


@final
class SearchStage(Stage):
    """What the strategy proposes, within the budget, as long as the space has other samples."""

    def __init__(
        self,
        strategy: Strategy,
        seed: int,
        limits: RunLimits,
        duplicates: Duplicates,
        tell: Tell,
        screening: Screening | None = None,
    ) -> None:
        """With a screening, proposals that are open to a choice are chosen by it."""
        self._screening = screening
        self._strategy = strategy
        self._seed = seed
        self._limits = limits
        self._duplicates = duplicates
        self._tell = tell
        self._is_exhausted = False

    def propose(self, number: int) -> Proposal:
        strategy = self._strategy
        if self._duplicates.use_up_space():
            self._exhaust()
        is_within = strategy.owes or self._limits.is_within_budget()  # what was begun is finished
        if self._is_exhausted or not is_within:
            raise StopIteration
        if self._duplicates.are_too_many and not (strategy.exhausts or strategy.owes):
            if (new := self._duplicates.new_sample(generator(self._seed, number, "new"))) is None:
                self._exhaust()
                raise StopIteration
            return Proposal(new, random=True)
        try:
            sample, is_whole = _drawn(strategy, number)
        except StopIteration:
            self._exhaust()
            raise
        usual = Proposal(sample, strategy.parent, strategy.repeat_of, random=strategy.random)
        screening = self._screening
        if screening is None or not screening.is_on or strategy.fixed:
            return usual
        chosen = screening.choose(number, usual if is_whole else None)
        if screening.is_on and self._limits.is_within_budget():
            return chosen or usual
        return self.propose(number)  # trials that ended meanwhile have changed that

    def observe(self, trial: Trial) -> None:
        if trial.stage == "search":
            self._strategy.observe(trial)

    def _exhaust(self) -> None:
        if not self._is_exhausted:
            self._is_exhausted = True
            self._limits.check_used_up(len(self._duplicates))
            self._tell(f"No further trials: {USED_UP}.")


@final
class BaselineStage(Stage):
    """As many random samples as the search has tried, those included that were random anyway: what
    chance finds.

    With a fidelity, they are trained to the end, and are as many as the epochs of the search are
    enough for.
    """

    def __init__(
        self, space: Space, seed: int, fidelity: Fidelity | None, repeats: int, tell: Tell
    ) -> None:
        """`repeats` is the number of trainings of each sample."""
        highest = space if fidelity is None else AtRung(space, fidelity, -1)
        self._draws = Random(highest, generator(seed, "baseline").getrandbits(32))
        self._strategy = Repeated(self._draws, repeats)
        self._fidelity = fidelity
        self._tell = tell
        self._tried = self._random = 0  # samples of the search, and those of them that were random
        self._epochs = 0  # of the search
        self._own = 0  # samples of this stage
        self._refused = 0  # of them, in a row
        self._is_exhausted = self._has_begun = False

    def propose(self, number: int) -> Proposal:
        strategy, wanted = self._strategy, self._wanted
        if not strategy.owes and (self._is_exhausted or self._own >= wanted):
            raise StopIteration
        if self._refused >= FRUITLESS:
            self._tell(f"No further random samples: {FRUITLESS} in a row were refused.")
            self._is_exhausted = True
            raise StopIteration
        try:
            sample, _ = _drawn(strategy, number)
        except StopIteration:
            self._is_exhausted = True
            raise
        if not self._has_begun:
            self._has_begun = True
            count = counted(wanted, "random sample")
            self._tell(f"Trying {count}, to compare the best of the search with.")
        repeat_of = strategy.repeat_of
        return Proposal(sample, repeat_of=repeat_of, stage="baseline", random=True)

    @property
    def _wanted(self) -> int:
        """How many samples there should be in this stage."""
        if self._fidelity is None:
            return self._tried - self._random
        return math.ceil(self._epochs / self._fidelity.max)

    def observe(self, trial: Trial) -> None:
        if trial.stage == "baseline":
            self._strategy.observe(trial)
        if trial.stage == "confirm":
            return
        if trial.repeat_of is None:
            change = int(trial.running) - int(trial.refused)
            self._count(trial, change)
        if not trial.running and trial.stage == "search" and trial.duplicate_of is None:
            self._epochs += trial.step

    def _count(self, trial: Trial, change: int) -> None:
        if trial.stage == "baseline":
            self._own += change
            if not trial.running:
                self._refused = self._refused + 1 if trial.refused else 0
        elif trial.duplicate_of is None:
            self._tried += change
            self._random += change * trial.random
            if trial.random and trial.running:
                self._draws.observe(trial)


@final
class ConfirmStage(Stage):
    """The best samples once more, under new seeds: the results that made them the best are not the
    ones to judge them by. The best of the search and the best random one are always among them.

    Samples are chosen once all trials of the other stages have ended.
    """

    def __init__(self, best: int, seeds: int, repeats: int, tell: Tell) -> None:
        """So many of the `best` samples are trained under so many new `seeds`. `repeats` is the
        number of trainings of each sample in the other stages."""
        self._best = best
        self._seeds = seeds
        self._repeats = SampleResults(repeats)
        self._tell = tell
        self._running: set[int] = set()  # trials of the other stages
        self._results: list[Trial] = []  # of the other stages
        self._trainings: dict[int, int] = {}  # new ones of each sample

    def propose(self, number: int) -> Proposal:
        if self._running:
            raise NotYet
        chosen, seeds = self._chosen(), self._seeds
        if chosen and not self._trainings:
            what, each = counted(len(chosen), "sample"), counted(seeds, "new seed")
            self._tell(f"Training the best again, to confirm them: {what} under {each} each.")
        for trial in chosen:
            if self._trainings.get(trial.number, 0) < seeds:
                return Proposal(trial.sample, repeat_of=trial.number, stage="confirm")
        raise StopIteration

    def observe(self, trial: Trial) -> None:
        if trial.stage == "confirm":
            if trial.running and trial.repeat_of is not None:
                self._trainings[trial.repeat_of] = self._trainings.get(trial.repeat_of, 0) + 1
            return
        if trial.running:
            self._running.add(trial.number)
        else:
            self._running.discard(trial.number)
        for seen in self._repeats.see(trial):
            if seen.scored and seen.duplicate_of is None:
                self._results.append(seen)

    def _chosen(self) -> list[Trial]:
        found = [*top(self._results, self._best), *pillars(self._results)]
        return [*{trial.number: trial for trial in found}.values()]
