"""THE LOOP: propose, plan, submit, record, observe."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, final

from runner.display.progress import Progress
from runner.engines.engine import Engine
from runner.errors import Refused, RunFailed, RunnerError, one_line
from runner.space.sample import DrawError, Sample, sample_key
from runner.space.space import Space
from runner.store import Store
from runner.strategies.strategy import Strategy
from runner.training.service import TrainingService
from runner.trial import REFUSED, Failure, Report, Trial, trial_seed

POLL = 0.2  # seconds to wait for reports before looking at the clock again
HOPELESS = 5  # so many failures and not one result: the fault lies not with single trials
FUTILE = 200  # so many refused proposals in a row: hardly any sample of the space fits
USED_UP = "the space is used up: every sample of it was tried"
MEND = "Change the space so that more of its samples fit."
PATIENCE = 20  # so many repeated proposals in a row raise the question whether any are left


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
        self._first: dict[str, int] = {}  # key -> the trial that had it first
        self._jobs: list[set[int]] = []  # the trials of each job that have not ended
        self._followers: dict[int, list[int]] = {}  # running trial -> trials that share its result
        self._failures = self._results = self._refused = 0
        self._futile = 0  # refused proposals in a row
        self._why = ""  # why the last one was
        self._repeats = 0  # proposals in a row that had been made before
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
            and self.store.next_number - self._refused < self.budget.trials
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
        first = self._first.get(key) if self.dedup and refusal is None else None
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
        if self.dedup and self._repeats and self._repeats % PATIENCE == 0 and self._used_up():
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
        self._observe(self.store.record(trial.number, "failed", vars(failure)))
        self._check_futile()

    def _check_futile(self) -> None:
        """Raises RunFailed where hardly any sample of the space fits."""
        if self._futile >= FUTILE:
            raise RunFailed(
                f"{self._futile} proposals in a row were refused; the last one: {self._why}. {MEND}"
            )

    def _follow(self, trial: Trial) -> None:
        """A repeated sample shares the result of its first trial, now or once there is one."""
        first = trial.duplicate_of
        if first is None:
            return
        if first in self.store.running:
            self._followers.setdefault(first, []).append(trial.number)
        else:
            self._observe(self.store.end_as(trial.number, self.store.trial(first)))

    def _hear(self, report: Report) -> None:
        """Record what a running trial says."""
        if report.gain is not None:
            self.store.note_gain(report.gain)
            return
        report = self._judge(report)
        failure = report.failure
        if failure is not None and failure.reason == "disk full":
            raise RunFailed(
                f"Trial {report.trial} could not write its results: {failure.text}. Free some "
                f"space, then go on with resume={self.store.folder}."
            )
        data: Any = vars(failure) if failure is not None else report.metrics
        assert report.kind != "grouped"
        trial = self.store.record(report.trial, report.kind, data)
        if trial.running:
            self.progress.show(trial)
            return
        self._jobs = [left for job in self._jobs if (left := job - {trial.number})]
        self._observe(trial)
        for follower in self._followers.pop(trial.number, []):
            self._observe(self.store.end_as(follower, trial))
        self._check_failures(trial)

    def _judge(self, report: Report) -> Report:
        """A trial that ends without a usable objective has failed."""
        if report.kind not in ("finished", "stopped"):
            return report
        name = self.store.objective.metric
        metrics = {**self.store.running[report.trial].metrics, **report.metrics}
        if name not in metrics:
            text = f"it reported no {name!r} but {sorted(metrics)}; set objective.metric"
            return Report(report.trial, "failed", failure=Failure("error", text))
        if not math.isfinite(metrics[name]):
            failure = Failure("not finite", f"{name} is {metrics[name]}")
            return Report(report.trial, "failed", failure=failure)
        return report

    def _observe(self, trial: Trial) -> None:
        """Tell everyone that a trial was recorded, or that it ended."""
        if trial.running:
            first = self._first.setdefault(trial.key, trial.number)
            self._repeats = self._repeats + 1 if first != trial.number else 0
        else:
            self._count(trial)
        with self._blaming_strategy():
            self.strategy.observe(trial)
        self.engine.observe(trial)
        self.progress.show(trial)
        if not trial.running:
            self.on_end(trial)

    def _count(self, trial: Trial) -> None:
        """Count an ended trial; one that shares the result of another says only that it fits."""
        self._futile = self._futile + 1 if trial.refused else 0
        if trial.refused and trial.failure is not None:
            self._why = trial.failure.text.rstrip(".")
        if trial.duplicate_of is None:
            self._refused += trial.refused
            self._failures += trial.failed and not trial.refused
            self._results += trial.scored

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

    def _check_failures(self, trial: Trial) -> None:
        limits, folder = self.service.limits, self.store.folder
        if trial.refused:  # where it was built, and not before
            self._check_futile()
            return
        if trial.failed and limits.fail_fast:
            raise RunFailed(
                f"Trial {trial.number} failed ({trial.failure}), and training.fail_fast is on. "
                f"What it left lies in {folder}/trials/{trial.number:04d}."
            )
        if trial.failed and self._failures >= HOPELESS and not self._results:
            raise RunFailed(
                f"None of {self._failures} trials gave a result; the last one failed with "
                f"{trial.failure}. What they left lies in {folder}/trials."
            )
        if limits.max_failures is not None and self._failures > limits.max_failures:
            raise RunFailed(
                f"{self._failures} trials failed, more than training.max_failures="
                f"{limits.max_failures}; the last one: {trial.failure}. What they left lies in "
                f"{folder}/trials."
            )

    def _submit(self, trials: list[Trial]) -> None:
        free = self.service.slots - len(self._jobs)
        for job in self.engine.plan(trials, free) if trials else ():
            self._jobs.append(set(job.trials))
            self.service.submit(job)

    def _stop_proposing(self, why: str) -> None:
        self._left = False
        if self._refused and self._refused == self.store.next_number:
            raise RunFailed(
                f"The space is used up, and all of its {len(self._first)} samples were refused; "
                f"the last one: {self._why}. {MEND}"
            )
        self.progress.note(f"No further trials: {why}.")

    def _used_up(self) -> bool:
        """Whether every sample of a finite space was proposed, or would be refused; looks only as
        far as it must."""
        try:
            keys = map(self._key, self.space.enumerate())
            return all(refusal is not None or key in self._first for key, refusal in keys)
        except ValueError:  # a continuous choice: there is always another
            return False


def _digest(key: str) -> str:
    return blake2b(key.encode(), digest_size=8).hexdigest()
