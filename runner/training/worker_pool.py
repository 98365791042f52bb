"""A service of workers that take jobs one after another and are replaced when they die."""

import time
from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar, final

from runner.errors import RunFailed
from runner.training.service import Limits, Traces, TrainingService
from runner.training.worker_handle import WorkerHandle
from runner.trial import ENDS, Failure, Job, Report, Setup

UNREST = "work that does not end"
STILLBORN = 4  # workers in a row that may die while they start
Handle = Callable[[Report], None]
W = TypeVar("W", bound=WorkerHandle)


class WorkerPool(TrainingService, Generic[W]):
    """Workers of one kind. A subclass knows where they run, how to wait for what they say, and how
    to replace one; a crash or a hang costs one trial only."""

    def __init__(self, setup: Setup, limits: Limits) -> None:
        super().__init__(setup, limits)
        self._waiting: list[tuple[Job, int]] = []  # with the number of earlier attempts
        self._workers: list[W] = []
        self._stillborn: set[object] = set()
        self._stopped: set[int] = set()  # trials that were to end early

    @abstractmethod
    def _wait(self, seconds: float) -> None:
        """Waits until a worker may have said something, at most so long."""

    @abstractmethod
    def _replace(self, worker: W) -> None:
        """Ends a worker with all that it started, and starts another."""

    def _look(self, now: float) -> None:
        """Looks from time to time at what the workers depend on."""

    @final
    def submit(self, job: Job) -> None:
        self._waiting.append((job, 0))
        self._dispatch()

    @final
    def poll(self, handle: Handle, timeout: float) -> None:
        self._dispatch()
        self._wait(self._patience(timeout))
        for worker in [*self._workers]:
            gone = worker.gone  # read first, so that all its reports are received
            for report in worker.hear():
                self._pass_on(worker, report, handle)
            if worker.traces is not None or worker.is_restless:
                self._tidy(worker, handle)
            elif gone:
                self._bury(worker, handle)
        self._enforce()
        self._dispatch()

    @final
    def stop(self, trial: int) -> None:
        self._stopped.add(trial)
        for worker in self._workers:
            if trial in worker.open:
                worker.say({"stop": trial})

    def _dispatch(self) -> None:
        for worker in self._workers:
            if self._waiting and worker.takes_jobs:
                worker.run(*self._waiting.pop(0))

    def _pass_on(self, worker: W, report: Report, handle: Handle) -> None:
        known = worker.job is not None if report.gain else report.trial in worker.open
        if worker.doomed is not None or not known:
            return
        if report.kind in ENDS:
            worker.open.discard(report.trial)
        handle(report)

    def _tidy(self, worker: W, handle: Handle) -> None:
        """Frees a worker whose job has ended, or replaces it if it is not as it was before: trials
        of the job that have not ended are run elsewhere, as if for the first time."""
        job, traces = worker.job, worker.traces
        if traces is None:
            traces = Traces(remaining=(UNREST,))
        assert job is not None
        if traces:
            self._left.append((job.trials, traces))
        if traces.remaining:
            self._end_stopped(worker, handle)
            self._waiting[:0] = [(part, 0) for part in job.alone(worker.open)]
            self._replace(worker)
        else:
            worker.rest()

    def _end_stopped(self, worker: W, handle: Handle) -> None:
        """Ends those trials of a lost worker that were to end early, so that none is run again."""
        for trial in sorted(worker.open & self._stopped):
            worker.open.discard(trial)
            handle(Report(trial, "stopped"))

    def _consequence(self, times: int) -> str:
        workers = "1 worker was" if times == 1 else f"{times} workers were"
        return f"{workers} replaced because of what trials left behind"

    def _bury(self, worker: W, handle: Handle) -> None:
        """Replaces a worker that has ended, and restarts its job or reports its failure. Before the
        job has begun, it ended because of what an earlier one left behind."""
        death, job = worker.death(), worker.job
        is_late = not worker.has_begun and bool(worker.before)
        if is_late:
            self._left.append((worker.before, Traces(remaining=(death.text,))))
        if worker.ready:
            self._stillborn.clear()
        else:
            self._stillborn.add(worker.origin)
        if len(self._stillborn) > STILLBORN:
            raise RunFailed(f"A worker could not start: {death.text}. See its message above.")
        self._replace(worker)
        self._end_stopped(worker, handle)
        if job is None or not worker.open:
            return
        if is_late:
            self._waiting.insert(0, (job, worker.attempt))
            return
        if len(job.trials) > 1 and worker.ready:  # one trial's fault must not fail the others
            self._waiting[:0] = [(part, 0) for part in job.alone(worker.open)]
            return
        crashes = worker.attempt + worker.ready  # dying before the start is not the trial's fault
        if death.reason == "crashed" and crashes <= self.limits.retries:
            self._waiting.insert(0, (job, crashes))
            return
        for trial in sorted(worker.open):
            handle(Report(trial, "failed", failure=death))

    def _enforce(self) -> None:
        """Terminates jobs that exceeded a limit, and kills workers that did not end when asked."""
        now = time.monotonic()
        self._look(now)
        for worker in self._workers:
            worker.look(now)
            if worker.kill_at is not None and now >= worker.kill_at:
                worker.kill()
                worker.kill_at = None
            elif worker.ready and worker.doomed is None:
                over = [failure for end, failure in self._deadlines(worker) if now > end]
                if over:
                    worker.doom(over[0])

    def _deadlines(self, worker: W) -> Iterator[tuple[float, Failure]]:
        """Yields the deadlines of a worker's job, in monotonic seconds, with the failure of its
        trials. Limits are per trial, and a job may have several."""
        clocks = (
            ("trial_timeout", "timed out", worker.started),
            ("stall_timeout", "stalled", worker.heard),
        )
        for key, reason, since in clocks:
            limit = getattr(self.limits, key)
            counts = not (worker.loading and reason == "stalled")
            if limit is not None and worker.job is not None and worker.open and counts:
                seconds = limit * len(worker.job.trials)
                text = f"terminated after {seconds:g} s (training.{key})"
                yield since + seconds, Failure(reason, text)

    def _patience(self, timeout: float) -> float:
        """Returns how long to wait for reports: at most until the next deadline."""
        now, moments = time.monotonic(), [timeout]
        for worker in self._workers:
            if worker.kill_at is not None:
                moments.append(worker.kill_at - now)
            elif worker.doomed is None:
                moments += [end - now for end, _ in self._deadlines(worker)]
        return max(0.0, min(moments))
