"""THE LOOP: propose, plan, submit, record, observe."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import final

from runner.display.progress import Progress
from runner.duplicates import Duplicates
from runner.engines.engine import Engine
from runner.errors import Refused
from runner.limits import Budget, RunLimits, judged
from runner.prescreen import Prescreen
from runner.resume import resume_override
from runner.screening import Screening
from runner.space.sample import Sample
from runner.space.space import Space
from runner.stages import SearchStage, Stage, Stages
from runner.stoppers.stopper import Stopper
from runner.stopping import Stopping
from runner.store import Store
from runner.strategies.guarded import GuardedStrategy
from runner.strategies.strategy import NotYet, Strategy
from runner.training.service import TrainingService
from runner.trial import ENDS, Failure, Job, Metrics, Report, Trial, trial_seed

POLL = 0.2  # seconds to wait for reports before looking at the clock again


@final
@dataclass(kw_only=True, eq=False)
class Experiment:
    """One search: all its parts, and the loop that drives them."""

    space: Space
    strategy: Strategy
    stopper: Stopper
    engine: Engine
    service: TrainingService
    store: Store
    progress: Progress
    # Called with each trial that has ended, replayed ones too; with one that was stopped once more
    # when its worker has finished.
    on_end: Callable[[Trial], None]
    budget: Budget
    seed: int
    dedup: bool  # whether a repeated sample shares the result of its first trial
    epochs: object = None  # of a trial, unless its sample says otherwise; None: unknown
    # Returns what is known of a sample's model, given the key of its trial; may refuse the sample.
    measure: Callable[[Sample, str], Metrics] = lambda sample, key: {}
    further: Sequence[Stage] = ()  # what follows the search
    prescreen: Prescreen | None = None  # None: each sample that is proposed is tried
    goes_on: bool = False  # whether a trial whose workers die too often ends the run, and no trial

    def __post_init__(self) -> None:
        resume = resume_override(self.store.folder)
        self.strategy = GuardedStrategy(self.strategy, resume)
        self._stopping = Stopping(self.stopper, self.epochs, resume)
        self._duplicates = Duplicates(self.space, self.engine.key, enabled=self.dedup)
        self._limits = RunLimits(
            self.budget, self.service.limits, self.store.folder, self.store.goals,
            goes_on=self.goes_on,
        )  # fmt: skip
        self._screening: Screening | None = None
        if self.prescreen is not None:
            self._screening = Screening(
                self.prescreen, self.strategy, self.engine, self._duplicates, self.seed,
                broken=self._broken, run=self._run_screening, tell=self.progress.note,
            )  # fmt: skip
        search = SearchStage(
            self.strategy, self.seed, self._limits, self._duplicates, self.progress.note,
            self._screening,
        )  # fmt: skip
        self._stages = Stages([search, *self.further])
        self._jobs: list[set[int]] = []  # the trials of each job that have not ended
        self._is_waiting = False  # whether nothing can be proposed until a running trial ends

    def run(self) -> None:
        """Searches until the budget or the space is used up. Raises RunFailed at the limits."""
        self._resume()
        while True:
            if self.engine.group > 1:
                self._submit([*self._new_trials()])
            else:  # the next proposal may take a while
                for trial in self._new_trials():
                    self._submit([trial])
            if not self.store.running and not self._jobs:
                return
            self.service.poll(self._hear, POLL)

    def _resume(self) -> None:
        """Replays the record, and restarts the trials that were running."""
        for trial in self.store.replay():
            self._replay(trial)
        self.progress.begin()
        for trial in [*self.store.running.values()]:
            if self._stopping.wants_to_stop(trial):  # the run ended just before it was stopped
                self._end(self.store.record(trial.number, "stopped", {}))
        for trial in [*self.store.running.values()]:
            self._end_if_known(trial, self._duplicates.key(trial.sample)[1])
        self._submit([t for t in self.store.running.values() if t.duplicate_of is None])

    def _replay(self, trial: Trial) -> None:
        if trial.running and trial.started_at is not None:  # it had started, or reported
            self._stopping.observe(trial)
        else:
            self._observe(trial)

    # Proposals

    def _new_trials(self) -> Iterator[Trial]:
        """Proposes trials for the free slots; those that ended at once are left out."""
        while self._may_propose():
            trial = self._propose()
            if trial is not None and trial.running and trial.duplicate_of is None:
                yield trial

    def _may_propose(self) -> bool:
        return (
            not self._is_waiting
            and len(self._jobs) < self.service.slots
            and len(self.store.running) < self.service.slots * self.engine.group
        )

    def _propose(self) -> Trial | None:
        """Returns the next trial, recorded; None if there is none, as long as no other ends."""
        number = self.store.next_number
        try:
            proposal = self._stages.propose(number)
        except (NotYet, StopIteration):
            self._is_waiting = True
            return None
        sample, is_new = proposal.sample, proposal.repeat_of is None
        key, refusal = self._duplicates.key(sample)
        first = self._duplicates.first(key) if is_new and refusal is None else None
        if refusal is None and first is None:
            refusal = self._broken(sample, key)
        seed = trial_seed(self.seed, number)
        if proposal.parent is not None and self.strategy.promotes:  # it goes on with that training
            lower = self.store.trial(proposal.parent)
            proposal, seed = replace(proposal, proxy=lower.proxy), lower.seed
        trial = self.store.propose(proposal, seed, key, first)
        self._observe(trial)
        return self._end_if_known(trial, refusal)

    def _broken(self, sample: Sample, key: str) -> Refused | None:
        """Returns why a sample's model breaks a constraint, if that is known now."""
        try:
            self.measure(sample, key)
        except Refused as refusal:
            return refusal
        return None

    def _end_if_known(self, trial: Trial, refusal: Refused | None) -> Trial:
        """Ends a proposed trial at once if it cannot run, or shares a result that is known."""
        first = trial.duplicate_of
        if refusal is not None:
            trial = self.store.record(trial.number, "failed", Failure.refused(refusal).data)
            self._observe(trial)
            self._limits.check(trial)
        elif first in self.store.running:
            self._duplicates.follow(first, trial.number)
        elif first is not None:
            trial = self.store.end_as(trial.number, self.store.trial(first))
            self._observe(trial)
        return trial

    # Jobs and reports

    def _submit(self, trials: list[Trial]) -> None:
        """Starts trials on the free slots, grouped into jobs by the engine."""
        free = self.service.slots - len(self._jobs)
        for job in self.engine.plan(trials, free) if trials else ():
            self._jobs.append(set(job.trials))
            self.service.submit(self._measured(job))

    def _run_screening(self, job: Job) -> None:
        """Scores candidates on a free slot. Other trials are heard meanwhile."""
        assert self._screening is not None
        self.service.submit(job)
        while not self._screening.is_done:
            self.service.poll(self._hear, POLL)

    def _measured(self, job: Job) -> Job:
        """Returns a job with what is known of its models."""
        keys = [self.store.running[number].key for number in job.trials]
        return replace(job, known=[*map(self.measure, job.samples, keys)])

    def _hear(self, report: Report) -> None:
        """Records what a running trial reports, and stops it if that is bad enough."""
        if self._screening is not None and self._screening.hear(report):
            return
        if report.gain is not None:
            self.store.note_gain(report.gain)
            return
        if report.trial not in self.store.running:
            self._hear_stopped(report)
            return
        report = judged(report, self.store.goals, self.store.running[report.trial].metrics)
        self._limits.check_cut(report)
        trial = self.store.record(report.trial, report.kind, report.data, report.ago)
        if not trial.running:
            self._free(trial.number)
            self._end(trial)
            return
        self._stopping.observe(trial)
        self.progress.show(trial)
        if self._stopping.wants_to_stop(trial):
            self._stop(trial)

    def _stop(self, trial: Trial) -> None:
        """Ends a running trial early, with what it has reported. Its slot is free once its worker
        has finished."""
        stopped = self.store.record(trial.number, "stopped", {})
        self._stopping.expect(stopped)
        self._end(stopped)
        self.service.stop(trial.number)

    def _hear_stopped(self, report: Report) -> None:
        """Ignores what the worker of a stopped trial still reports, until it has finished."""
        if report.kind in ENDS:
            self._free(report.trial)
            self.on_end(self._stopping.release(report.trial))

    def _free(self, number: int) -> None:
        self._jobs = [left for job in self._jobs if (left := job - {number})]

    def _end(self, trial: Trial) -> None:
        """Tells every part that a trial has ended, and ends its duplicates with it."""
        self._observe(trial)
        for follower in self._duplicates.followers(trial.number):
            self._observe(self.store.end_as(follower, trial))
        self._limits.check(trial)

    def _observe(self, trial: Trial) -> None:
        """Tells every part that a trial was recorded, or that it ended."""
        self._duplicates.observe(trial)
        self._limits.observe(trial)
        self._stages.observe(trial)
        self._stopping.observe(trial)
        if self.prescreen is not None and (news := self.prescreen.observe(trial)):
            self.progress.note(news)
        self.engine.observe(trial)
        self.progress.show(trial)
        if not trial.running:
            self._is_waiting = False
            self.on_end(trial)
