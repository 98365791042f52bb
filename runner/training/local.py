"""Training in warm worker processes on this machine. A crash or a hang costs one trial only."""

import selectors
import time
from collections.abc import Callable, Iterator
from signal import SIGKILL
from typing import final

from runner.errors import RunFailed
from runner.training.devices import check_threads, devices
from runner.training.fork_server import ForkServer, ahead, modules_of
from runner.training.leftovers import end_all, marked
from runner.training.service import Limits, Traces, TrainingService
from runner.training.worker_process import WorkerProcess
from runner.trial import Failure, Job, Report, Setup

UNREST = "work that does not end"
STILLBORN = 4  # workers in a row that may die while they start
Handle = Callable[[Report], None]


@final
class Local(TrainingService):
    """A service of worker processes that import torch once and are replaced when they die."""

    def __init__(
        self,
        setup: Setup,
        *,
        device: str,
        workers: int | None,
        workers_per_device: int,
        threads: int,
        retries: int,
        trial_timeout: float | None,
        stall_timeout: float | None,
        max_failures: int | None,
        fail_fast: bool,
    ) -> None:
        limits = Limits(retries, trial_timeout, stall_timeout, max_failures, fail_fast)
        super().__init__(setup, limits)
        check_threads(threads)
        self._threads = threads
        self._devices = devices(device, workers, workers_per_device)
        check_threads(threads, len(self._devices))
        self._waiting: list[tuple[Job, int]] = []  # with the number of earlier attempts
        self._selector = selectors.DefaultSelector()
        self._workers: list[WorkerProcess] = []
        self._server: ForkServer | None = None
        self._own: list[ForkServer] = []  # to be closed
        self._stillborn: set[object] = set()
        self._stopped: set[int] = set()  # trials that were to end early
        for name in self._devices:
            self._spawn(name)

    @property
    def slots(self) -> int:
        return len(self._devices)

    def submit(self, job: Job) -> None:
        self._waiting.append((job, 0))
        self._dispatch()

    def poll(self, handle: Handle, timeout: float) -> None:
        self._dispatch()
        self._selector.select(self._patience(timeout))
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

    def stop(self, trial: int) -> None:
        self._stopped.add(trial)
        for worker in self._workers:
            if trial in worker.open:
                worker.say({"stop": trial})

    def close(self) -> None:
        for worker in self._workers:
            self._selector.unregister(worker.reports)
            worker.kill()
        if self._workers:
            end_all(marked([worker.mark for worker in self._workers]))
        self._workers.clear()
        self._waiting.clear()
        for server in self._own:
            server.close()

    def _spawn(self, device: str) -> None:
        worker = WorkerProcess(self.setup, device, self._threads, self._fork_server())
        self._workers.append(worker)
        self._selector.register(worker.reports, selectors.EVENT_READ)

    def _fork_server(self) -> ForkServer | None:
        """Returns the server that forks the workers; None where that is impossible."""
        server = self._server or ahead.get()
        if server is None or not server.is_alive or server.threads != self._threads:
            if not ForkServer.is_possible():
                return None
            nodes = (self.setup.evaluator, self.setup.data, {"_target_": self.setup.engine})
            server = ForkServer(self._threads, modules_of(nodes))
            self._own.append(server)
        self._server = server
        return server

    def _dispatch(self) -> None:
        for worker in self._workers:
            if self._waiting and worker.job is None and worker.doomed is None:
                worker.run(*self._waiting.pop(0))

    def _pass_on(self, worker: WorkerProcess, report: Report, handle: Handle) -> None:
        known = worker.job is not None if report.gain else report.trial in worker.open
        if worker.doomed is not None or not known:
            return
        if report.kind in ("finished", "stopped", "failed"):
            worker.open.discard(report.trial)
        handle(report)

    def _tidy(self, worker: WorkerProcess, handle: Handle) -> None:
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

    def _end_stopped(self, worker: WorkerProcess, handle: Handle) -> None:
        """Ends those trials of a lost worker that were to end early, so that none is run again."""
        for trial in sorted(worker.open & self._stopped):
            worker.open.discard(trial)
            handle(Report(trial, "stopped"))

    def _consequence(self, times: int) -> str:
        workers = "1 worker was" if times == 1 else f"{times} workers were"
        return f"{workers} replaced because of what trials left behind"

    def _bury(self, worker: WorkerProcess, handle: Handle) -> None:
        """Replaces a worker that has ended, and restarts its job or reports its failure. Before the
        job has begun, it ended because of what an earlier one left behind."""
        death, job = worker.death(), worker.job
        is_late = not worker.has_begun and bool(worker.before)
        if is_late:
            self._left.append((worker.before, Traces(remaining=(death.text,))))
        if worker.ready:
            self._stillborn.clear()
        else:
            self._stillborn.add(worker.process.origin)
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

    def _replace(self, worker: WorkerProcess) -> None:
        """Ends a worker with all that it started, and starts another."""
        self._selector.unregister(worker.reports)
        worker.kill()
        end_all(marked([worker.mark]))
        self._workers.remove(worker)
        self._spawn(worker.device)

    def _enforce(self) -> None:
        """Terminates jobs that exceeded a limit, and kills workers that did not end when asked."""
        now = time.monotonic()
        if self._server is not None:
            self._server.look(now)
        for worker in self._workers:
            worker.look(now)
            if worker.kill_at is not None and now >= worker.kill_at:
                worker.signal(SIGKILL)
                worker.kill_at = None
            elif worker.ready and worker.doomed is None:
                over = [failure for end, failure in self._deadlines(worker) if now > end]
                if over:
                    worker.doom(over[0])

    def _deadlines(self, worker: WorkerProcess) -> Iterator[tuple[float, Failure]]:
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
