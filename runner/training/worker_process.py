"""A worker process as its driver sees it: its pipes, its job, and how it is doing."""

import contextlib
import json
import os
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGTERM, Signals
from typing import final

from runner.another_process import search_path, starting
from runner.training.fork_server import Forked, ForkServer, environment
from runner.training.leftovers import descendants, end_all, process_status
from runner.training.service import Traces
from runner.trial import Failure, Gain, Job, Report, Setup

GRACE = 2.0  # seconds between SIGTERM and SIGKILL
REST = 4.0  # seconds that a worker may take to tidy up after a job
CHECK = 1.0  # seconds between two looks at the status of a process
LONGEST = 1 << 26  # bytes of a message
MARK = "RUNNER_WORKER"  # the variable that the processes of a worker inherit


@final
class Started:
    """A process of its own, which imports what it needs, and has the methods of `Forked`."""

    def __init__(self, jobs: int, reports: int, variables: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            starting(f"{__package__}.process", reports),
            stdin=jobs,
            pass_fds=[reports],
            start_new_session=True,  # so that Ctrl-C reaches the driver only
            env=variables,
        )
        self.pid: int | None = self._process.pid
        self.poll, self.wait = self._process.poll, self._process.wait

    @property
    def origin(self) -> object:
        return self

    def found(self, pid: int) -> None:
        return

    def close(self) -> None:
        self._process.wait()


@final
class WorkerProcess:
    """A worker process: its pipes, its job, and the time of its last report."""

    def __init__(self, setup: Setup, device: str, threads: int, server: ForkServer | None) -> None:
        """Lets a server fork the process; without one, starts it."""
        self.device = device
        self.job: Job | None = None
        self.open: set[int] = set()  # trials of the job without a final report
        self.has_begun = False  # whether its job has
        self.before: Sequence[int] = ()  # the trials of its job before
        self.attempt = 0
        self.ready = False
        self.loading = False  # whether it is loading data
        self.traces: Traces | None = None  # what its last job left behind, once it has tidied up
        self.started = self.heard = 0.0  # monotonic seconds
        self.doomed: Failure | None = None  # why it is being terminated
        self.kill_at: float | None = None
        self.mark = f"{MARK}={uuid.uuid4().hex}"
        self._checked = 0.0
        self._buffer = b""
        self._closed = False  # whether the reports have ended
        self.reports, write_end = os.pipe()
        os.set_blocking(self.reports, False)
        read_end, self._jobs = os.pipe()
        variables = environment(threads) | {MARK: self.mark.partition("=")[2]}
        if server is None:
            self.process: Started | Forked = Started(read_end, write_end, variables)
        else:
            self.process = server.fork(read_end, write_end)
        os.close(read_end)
        os.close(write_end)
        self.say({"setup": setup.to_json(), "device": device, "threads": threads,
                  "path": search_path(), "environment": variables,
                  "folder": str(Path.cwd())})  # fmt: skip

    def say(self, message: object) -> None:
        """Sends a message. The end of a worker is noticed when its reports end."""
        rest = json.dumps(message).encode() + b"\n"
        with contextlib.suppress(BrokenPipeError):
            while rest:
                rest = rest[os.write(self._jobs, rest) :]

    def run(self, job: Job, attempt: int) -> None:
        self.job, self.open, self.attempt = job, set(job.trials), attempt
        self.has_begun = False
        self.started = self.heard = time.monotonic()
        self.say(vars(job))

    def rest(self) -> None:
        """Its job has ended, and it may be given another."""
        assert self.job is not None
        self.before = self.job.trials
        self.job = self.traces = None

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
            try:
                yield from filter(None, map(self._parse, lines))
            except (ValueError, TypeError, KeyError, AttributeError):
                self._give_up("something else was written to the reports of the worker")
            if len(self._buffer) > LONGEST:
                self._give_up("the worker wrote a report without end")

    def _parse(self, line: bytes) -> Report | None:
        data = json.loads(line)
        self.heard = time.monotonic()
        if data == "ready":
            self.ready = True
            self.started = self.heard
        elif "pid" in data:
            self.process.found(data["pid"])
        elif "loading" in data:
            self.loading = data["loading"]
        elif "late" in data:
            self.doomed = self.doomed or Failure("crashed", data["late"])
        elif "left" in data:
            self.traces = Traces(*(tuple(data["left"][name]) for name in ("restored", "remaining")))
        else:
            failure = Failure(**data["failure"]) if data["failure"] else None
            gain = Gain(**data["gain"]) if data["gain"] else None
            self.has_begun = True
            return Report(data["trial"], data["kind"], data["metrics"], failure, gain)
        return None

    def _give_up(self, why: str) -> None:
        """Hears no more of the process, which is to be replaced."""
        self._closed = True
        self.doomed = self.doomed or Failure("crashed", why)

    def look(self, now: float) -> None:
        """Looks at the process from time to time: one that a trial stopped goes on, and one whose
        main thread has ended is ended."""
        if now < self._checked + CHECK:
            return
        self._checked = now
        status = "" if self.process.pid is None else process_status(self.process.pid)
        if status == "T":
            self.signal(SIGCONT)
        elif status == "Z" and self.process.poll() is None:
            self._give_up("the main thread of the worker has ended")

    @property
    def is_restless(self) -> bool:
        """True if the trials of its job have ended, but it has not tidied up after them in time."""
        done = self.job is not None and not self.open and self.traces is None
        return done and time.monotonic() > self.heard + REST

    def doom(self, failure: Failure) -> None:
        """Asks the process to end; it is killed soon after if it does not."""
        self.doomed = failure
        self.kill_at = time.monotonic() + GRACE
        self.signal(SIGTERM)

    def kill(self) -> None:
        """Ends the process and all that it started, and frees its resources."""
        started = descendants(self.process.pid) if self.process.pid is not None else []
        self.signal(SIGKILL)
        end_all(started)
        self.process.close()
        os.close(self._jobs)
        os.close(self.reports)

    def signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if self.process.pid is not None:
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
            name = Signals(-code).name if -code in {*Signals} else f"signal {-code}"
            how = f"the worker was killed by {name}"
            if -code == SIGKILL:
                how += " (manually, or by the system for lack of memory)"
        else:
            how = f"the worker ended with exit code {code}"
        return Failure("crashed", how)
