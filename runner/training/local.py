"""Training in warm worker processes on this machine. A crash or a hang costs one trial only."""

import contextlib
import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from signal import SIGKILL, SIGTERM, Signals
from typing import final

from runner.errors import RunFailed
from runner.training.devices import check_positive, devices
from runner.training.service import Limits, TrainingService
from runner.trial import Failure, Gain, Job, Report, Setup

STILLBORN = 4  # workers in a row that may die while they start
GRACE = 2.0  # seconds between SIGTERM and SIGKILL
HOME = str(Path(__file__).resolve().parents[2])  # of this package, which need not be installed
START = (
    "import sys; sys.path.insert(0, sys.argv[2]); from runner.training.process import main; "
    "sys.path.pop(0); main()"
)
Handle = Callable[[Report], None]


@final
class WorkerProcess:
    """A worker process: its pipes, its job, and the time of its last report."""

    def __init__(self, setup: Setup, device: str, threads: int) -> None:
        self.device = device
        self.job: Job | None = None
        self.open: set[int] = set()  # trials of the job without a final report
        self.attempt = 0
        self.ready = False
        self.started = self.heard = 0.0  # monotonic seconds
        self.doomed: Failure | None = None  # why it is being terminated
        self.kill_at: float | None = None
        self._buffer = b""
        self._closed = False  # whether the reports have ended
        self.reports, write_end = os.pipe()
        os.set_blocking(self.reports, False)
        self.process = subprocess.Popen(
            [sys.executable, "-c", START, str(write_end), HOME],
            stdin=subprocess.PIPE,
            pass_fds=[write_end],
            start_new_session=True,  # so that Ctrl-C reaches the driver only
            env=os.environ | dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(threads)),
        )
        os.close(write_end)
        self.say({"setup": setup.to_json(), "device": device, "threads": threads,
                  "path": [entry for entry in sys.path if entry]})  # fmt: skip

    def say(self, message: object) -> None:
        """Sends a message. The end of a worker is noticed when its reports end."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(message).encode() + b"\n")
            self.process.stdin.flush()

    def run(self, job: Job, attempt: int) -> None:
        self.job, self.open, self.attempt = job, set(job.trials), attempt
        self.started = self.heard = time.monotonic()
        self.say(vars(job))

    @property
    def gone(self) -> bool:
        """True once the process has ended, or has closed its reports."""
        return self._closed or self.process.poll() is not None

    def hear(self) -> Iterator[Report]:
        """Yields the reports received since the last call."""
        while not self._closed:
            try:
                chunk = os.read(self.reports, 1 << 16)
            except BlockingIOError:
                return
            self._closed = not chunk
            *lines, self._buffer = (self._buffer + chunk).split(b"\n")
            for line in lines:
                self.heard = time.monotonic()
                if report := self._parse(line):
                    yield report

    def _parse(self, line: bytes) -> Report | None:
        data = json.loads(line)
        if data == "ready":
            self.ready = True
            self.started = self.heard
            return None
        failure = Failure(**data["failure"]) if data["failure"] else None
        gain = Gain(**data["gain"]) if data["gain"] else None
        return Report(data["trial"], data["kind"], data["metrics"], failure, gain)

    def doom(self, failure: Failure) -> None:
        """Asks the process to end; it is killed soon after if it does not."""
        self.doomed = failure
        self.kill_at = time.monotonic() + GRACE
        self.signal(SIGTERM)

    def kill(self) -> None:
        """Ends the process and its children, and frees its resources."""
        self.signal(SIGKILL)
        self.process.wait()
        with contextlib.suppress(BrokenPipeError):
            if self.process.stdin is not None:
                self.process.stdin.close()
        os.close(self.reports)

    def signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)

    def death(self) -> Failure:
        """Returns why the process ended."""
        if self.doomed is not None:
            return self.doomed
        try:
            code = self.process.wait(timeout=GRACE)
        except subprocess.TimeoutExpired:
            return Failure("crashed", "the worker closed its reports")
        if code < 0:
            how = f"the worker was killed by {Signals(-code).name}"
            if -code == SIGKILL:
                how += " (manually, or by the system for lack of memory)"
        else:
            how = f"the worker ended with exit code {code}"
        return Failure("crashed", how)


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
        check_positive(threads=threads)
        self._threads = threads
        self._devices = devices(device, workers, workers_per_device)
        self._waiting: list[tuple[Job, int]] = []  # with the number of earlier attempts
        self._selector = selectors.DefaultSelector()
        self._workers: list[WorkerProcess] = []
        self._stillborn = 0
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
            if gone:
                self._bury(worker, handle)
        self._enforce()
        self._dispatch()

    def stop(self, trial: int) -> None:
        for worker in self._workers:
            if trial in worker.open:
                worker.say({"stop": trial})

    def close(self) -> None:
        for worker in self._workers:
            self._selector.unregister(worker.reports)
            worker.kill()
        self._workers.clear()
        self._waiting.clear()

    def _spawn(self, device: str) -> None:
        worker = WorkerProcess(self.setup, device, self._threads)
        self._workers.append(worker)
        self._selector.register(worker.reports, selectors.EVENT_READ)

    def _dispatch(self) -> None:
        for worker in self._workers:
            if self._waiting and worker.job is None and worker.doomed is None:
                worker.run(*self._waiting.pop(0))

    def _pass_on(self, worker: WorkerProcess, report: Report, handle: Handle) -> None:
        if worker.doomed is not None:
            return
        if report.kind in ("finished", "stopped", "failed"):
            worker.open.discard(report.trial)
            if not worker.open:
                worker.job = None
        handle(report)

    def _bury(self, worker: WorkerProcess, handle: Handle) -> None:
        """Replaces a worker that has ended, and restarts its job or reports its failure."""
        death, job = worker.death(), worker.job
        self._selector.unregister(worker.reports)
        worker.kill()
        self._workers.remove(worker)
        self._stillborn = 0 if worker.ready else self._stillborn + 1
        if self._stillborn > STILLBORN:
            raise RunFailed(f"A worker could not start: {death.text}. See its message above.")
        self._spawn(worker.device)
        if job is None:
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
        for worker in self._workers:
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
            if limit is not None and worker.job is not None:
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
