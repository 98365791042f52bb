"""THE LOOP: propose, plan, submit, record, observe."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, final

from runner.display.progress import Progress
from runner.duplicates import Duplicates
from runner.engines.engine import Engine
from runner.errors import Refused, RunFailed, RunnerError, one_line
from runner.limits import RunLimits, judged
from runner.space.sample import DrawError, Sample, sample_key
from runner.space.space import Space
from runner.store import Store
from runner.strategies.strategy import Strategy
from runner.training.service import TrainingService
from runner.trial import REFUSED, Failure, Report, Trial, trial_seed

POLL = 0.2  # seconds to wait for reports before looking at the clock again
USED_UP = "the space is used up: every sample of it was tried"


@final
@dataclass(frozen=True)
class Budget:
    """How much a run may do."""

    trials: int
    minutes: float | None


@final
class Experiment:
    """One search: all its parts, and the loop that drives them."""

    def __init__(
        self,
        *,
        space: Space,
        strategy: Strategy,
        engine: Engine,
        service: TrainingService,
        store: Store,
        progress: Progress,
        on_end: Callable[[Trial], None],
        budget: Budget,
        seed: int,
        dedup: bool,
    ) -> None:
        """`on_end` is called with each trial that has ended, those of earlier sessions too."""
        self.space = space
        self.strategy = strategy
        self.engine = engine
        self.service = service
        self.store = store
        self.progress = progress
        self.on_end = on_end
        self.budget = budget
        self.seed = seed
        self.dedup = dedup
        self._deadline = time.monotonic() + 60 * (budget.minutes or float("inf"))
        self._duplicates = Duplicates()
        self._limits = RunLimits(service.limits, store.folder)
        self._jobs: list[set[int]] = []  # the trials of each job that have not ended
        self._left = True  # whether the strategy has anything left

    def run(self) -> None:
        """Search until the budget or the space is used up. Raises RunFailed at the limits."""
        self._resume()
        while True:
            self._launch()
            if not self.store.running:
                return
            self.service.poll(self._hear, POLL)

    def _resume(self) -> None:
        """Replay the record, and start again what was running."""
        for trial in self.store.replay():
            self._observe(trial)
        self.progress.begin()
        for trial in [*self.store.running.values()]:
            self._settle(trial, self._key(trial.sample)[1])
        self._submit([t for t in self.store.running.values() if t.duplicate_of is None])

    def _launch(self) -> None:
        """Fill the free slots with new trials."""
        trials = []
        while self._may_propose():
            trial = self._propose()
            if trial is not None and trial.duplicate_of is None:
                trials.append(trial)
        self._submit(trials)

    def _may_propose(self) -> bool:
        return (
            self._left
            and self.store.next_number - self._limits.refused < self.budget.trials
            and len(self._jobs) < self.service.slots
            and len(self.store.running) < self.service.slots * self.engine.group
            and time.monotonic() < self._deadline
        )

    def _propose(self) -> Trial | None:
        """The next trial, recorded; None when the strategy has nothing left."""
        number = self.store.next_number
        try:
            with self._blaming_strategy():
                sample = self.strategy.propose(number)
        except StopIteration:
            self._stop_proposing(USED_UP)
            return None
        except DrawError as broken:  # the trial will fail, and leave the traceback in its folder
            sample = broken.sample
        key, refusal = self._key(sample)
        first = self._duplicates.first(key) if self.dedup and refusal is None else None
        seed, parent = trial_seed(self.seed, number), self.strategy.parent
        trial = self.store.propose(sample, seed, key, first, parent)
        self._observe(trial)
        self._settle(trial, refusal)
        return self.store.running.get(number)

    def _settle(self, trial: Trial, refusal: Refused | None) -> None:
        """End a proposed trial at once when it need not run, or cannot."""
        if refusal is not None:
            self._refuse(trial, refusal)
        else:
            self._follow(trial)
        if self.dedup and self._duplicates.in_doubt and self._used_up():
            self._stop_proposing(USED_UP)

    def _key(self, sample: Sample) -> tuple[str, Refused | None]:
        """A short text that is equal for equal trials, and why there can be no such model."""
        try:
            return _digest(self.engine.key(sample)), None
        except Refused as refused:
            return _digest(sample_key(sample)), refused

    def _refuse(self, trial: Trial, why: Refused) -> None:
        """End a trial whose model cannot be; the strategy proposes another one."""
        failure = Failure(REFUSED, " ".join(str(why).split()))
        ended = self.store.record(trial.number, "failed", vars(failure))
        self._observe(ended)
        self._limits.check(ended)

    def _follow(self, trial: Trial) -> None:
        """A repeated sample shares the result of its first trial, now or once there is one."""
        first = trial.duplicate_of
        if first is None:
            return
        if first in self.store.running:
            self._duplicates.follow(first, trial.number)
        else:
            self._observe(self.store.end_as(trial.number, self.store.trial(first)))

    def _hear(self, report: Report) -> None:
        """Record what a running trial says."""
        if report.gain is not None:
            self.store.note_gain(report.gain)
            return
        known = self.store.running[report.trial].metrics
        report = judged(report, self.store.objective, known)
        self._limits.check_disk(report)
        failure = report.failure
        data: Any = vars(failure) if failure is not None else report.metrics
        assert report.kind != "grouped"
        trial = self.store.record(report.trial, report.kind, data)
        if trial.running:
            self.progress.show(trial)
            return
        self._jobs = [left for job in self._jobs if (left := job - {trial.number})]
        self._observe(trial)
        for follower in self._duplicates.followers(trial.number):
            self._observe(self.store.end_as(follower, trial))
        self._limits.check(trial)

    def _observe(self, trial: Trial) -> None:
        """Tell everyone that a trial was recorded, or that it ended."""
        if trial.running:
            self._duplicates.add(trial)
        else:
            self._limits.count(trial)
        with self._blaming_strategy():
            self.strategy.observe(trial)
        self.engine.observe(trial)
        self.progress.show(trial)
        if not trial.running:
            self.on_end(trial)

    @contextmanager
    def _blaming_strategy(self) -> Iterator[None]:
        """Say whose fault it is when a strategy raises what is no answer."""
        try:
            yield
        except (RunnerError, StopIteration):
            raise
        except Exception as error:
            raise RunFailed(
                f"{type(self.strategy).__name__} raised {one_line(error)}. HYDRA_FULL_ERROR=1 "
                f"shows where; once it is mended, go on with resume={self.store.folder}."
            ) from error

    def _submit(self, trials: list[Trial]) -> None:
        free = self.service.slots - len(self._jobs)
        for job in self.engine.plan(trials, free) if trials else ():
            self._jobs.append(set(job.trials))
            self.service.submit(job)

    def _stop_proposing(self, why: str) -> None:
        self._left = False
        self._limits.check_used_up(self.store.next_number, len(self._duplicates))
        self.progress.note(f"No further trials: {why}.")

    def _used_up(self) -> bool:
        """Whether every sample of a finite space was proposed, or would be refused; looks only as
        far as it must."""
        try:
            keys = map(self._key, self.space.enumerate())
            return all(refusal is not None or key in self._duplicates for key, refusal in keys)
        except ValueError:  # a continuous choice: there is always another
            return False


def _digest(key: str) -> str:
    return blake2b(key.encode(), digest_size=8).hexdigest()
