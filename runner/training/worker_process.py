"""A worker process of this machine, as its driver knows it: its pipes and signals."""

import contextlib
import json
import os
import subprocess
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGTERM
from typing import Any, final

from runner.another_process import search_path, starting
from runner.training.fork_server import Forked, ForkServer, environment
from runner.training.leftovers import descendants, end_all, ending, marked, process_status
from runner.training.pipes import write_all
from runner.training.worker_handle import GRACE, WorkerHandle
from runner.trial import Failure, Setup

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
class WorkerProcess(WorkerHandle):
    """A worker process of this machine."""

    def __init__(
        self, setup: Setup, devices: Sequence[str], threads: int, server: ForkServer | None
    ) -> None:
        """Lets a server fork the process; without one, starts it. Each trial uses all `devices`; if
        there are several, `setup` must name a folder for shared data."""
        super().__init__(devices[0])
        self.devices = devices
        self.mark = f"{MARK}={uuid.uuid4().hex}"
        self._checked = 0.0
        self._peers: Sequence[int] = ()  # its processes for further devices
        self._ended = ""  # how one of its processes has, and thus all
        self._ends_at: float | None = None  # when it is to have ended, as its main thread has
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
        self.say({"setup": setup.to_json(), "devices": [*devices], "threads": threads,
                  "path": search_path(), "environment": variables,
                  "folder": str(Path.cwd())})  # fmt: skip

    @property
    def origin(self) -> object:
        return self.process.origin

    @property
    def gone(self) -> bool:
        return self._closed or self.process.poll() is not None

    def say(self, message: Mapping[str, Any]) -> None:
        self.pass_on(json.dumps(message).encode() + b"\n")

    def pass_on(self, rest: bytes) -> None:
        """Sends messages, one line each."""
        with contextlib.suppress(BrokenPipeError):
            write_all(self._jobs, rest)

    def lines(self) -> Iterator[bytes]:
        """Yields the lines received since the last call."""
        while not self._closed:
            try:
                chunk = os.read(self.reports, 1 << 16)
            except BlockingIOError:
                return
            self._closed = not chunk
            *lines, self._buffer = (self._buffer + chunk).split(b"\n")
            yield from lines
            if len(self._buffer) > LONGEST:
                self._give_up("the worker wrote a report without end")

    _lines = lines

    def _give_up(self, why: str) -> None:
        self._closed = True
        self.doomed = self.doomed or Failure("crashed", why)

    def told(self, of_processes: Mapping[str, Any]) -> None:
        if "ended" in of_processes:
            self._ended = of_processes["ended"]
        else:
            self.process.found(of_processes["pid"])
            self._peers = of_processes.get("peers", ())

    def look(self, now: float) -> None:
        """Looks at its processes from time to time: those that a trial stopped go on, and one that
        does not end with its main thread is ended."""
        if now < self._checked + CHECK:
            return
        self._checked = now
        pids = () if self.process.pid is None else (self.process.pid, *self._peers)
        statuses = {process_status(pid) for pid in pids}
        if "T" in statuses:
            self._signal(SIGCONT)
        elif "Z" in statuses and self.process.poll() is None:
            # The system ends the threads of a process one by one.
            self._ends_at = self._ends_at or now + GRACE
            if now >= self._ends_at:
                self._give_up("the main thread of the worker has ended")

    def terminate(self) -> None:
        self._signal(SIGTERM)

    def kill(self) -> None:
        self._signal(SIGKILL)

    def close(self) -> None:
        """Ends the process and all that it started, and frees its resources."""
        started = descendants(self.process.pid) if self.process.pid is not None else []
        self.kill()
        end_all(started)
        self.process.close()
        os.close(self._jobs)
        os.close(self.reports)

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if self.process.pid is not None:
                os.killpg(self.process.pid, number)

    def death(self) -> Failure:
        if self.doomed is not None:
            return self.doomed
        if self._ended:
            return Failure("crashed", self._ended)
        try:
            code = self.process.wait(timeout=GRACE)
        except subprocess.TimeoutExpired:
            return Failure("crashed", "the worker closed its reports")
        return Failure("crashed", f"the worker {ending(code)}")


def close_all(workers: "list[WorkerProcess]") -> None:
    """Ends workers with all that they started, wherever that is."""
    for worker in workers:
        worker.close()
    if workers:
        end_all(marked([worker.mark for worker in workers]))
