"""A worker as its driver knows it: its job, how it is doing, and what it says."""

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from runner.training.service import Traces
from runner.trial import Failure, Gain, Job, Report, seconds

GRACE = 2.0  # seconds between SIGTERM and SIGKILL
REST = 4.0  # seconds that a worker may take to tidy up after a job


class WorkerHandle(ABC):
    """A worker, wherever it runs. It reads messages and writes reports, each a line of JSON; see
    `runner.training.process`."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.job: Job | None = None
        self.open: set[int] = set()  # trials of the job without a final report
        self.has_begun = False  # whether its job has
        self.before: Sequence[int] = ()  # the trials of its job before
        self.attempt = 0
        self.ready = False
        self._loading: set[int] = set()  # its processes that are loading data, by their ranks
        self.traces: Traces | None = None  # what its last job left behind, once it has tidied up
        self.started = self.heard = 0.0  # monotonic seconds
        self._lead: float | None = None  # by which our clock is ahead of that of its reports
        self.doomed: Failure | None = None  # why it is being terminated
        self.kill_at: float | None = None

    @property
    @abstractmethod
    def origin(self) -> object:
        """What has failed if this worker cannot start."""

    @property
    @abstractmethod
    def gone(self) -> bool:
        """True once it has ended, or can say nothing more."""

    @abstractmethod
    def say(self, message: Mapping[str, Any]) -> None:
        """Sends a message. The end of a worker is noticed when its reports end."""

    @abstractmethod
    def terminate(self) -> None:
        """Asks it to end."""

    @abstractmethod
    def kill(self) -> None:
        """Ends it at once; `gone` is true soon after."""

    @abstractmethod
    def death(self) -> Failure:
        """Returns why it ended, if it was not terminated."""

    @abstractmethod
    def _lines(self) -> Iterator[bytes]:
        """Yields the lines received since the last call."""

    @abstractmethod
    def _give_up(self, why: str) -> None:
        """Hears no more of it: it has crashed, for this reason."""

    @property
    def takes_jobs(self) -> bool:
        """Whether it may be given a job now."""
        return self.job is None and self.doomed is None

    @property
    def loading(self) -> bool:
        """Whether it is loading data."""
        return bool(self._loading)

    def look(self, now: float) -> None:  # noqa: B027
        """Looks from time to time whether it is alive; `now` is in monotonic seconds."""

    def run(self, job: Job, attempt: int) -> None:
        """Gives it a job, the first of whose attempts is 0."""
        self.job, self.open, self.attempt = job, set(job.trials), attempt
        self.has_begun = False
        self.started = self.heard = time.monotonic()
        self._lead = None
        self.say(vars(job))

    def rest(self) -> None:
        """Its job has ended, and it may be given another."""
        assert self.job is not None
        self.before = self.job.trials
        self.job = self.traces = None

    def hear(self) -> Iterator[Report]:
        """Yields the reports received since the last call."""
        for line in self._lines():
            try:
                report = self._parse(line)
            except (ValueError, TypeError, KeyError, AttributeError):
                self._give_up("something else was written to the reports of the worker")
                return
            if report is not None:
                yield report

    def _parse(self, line: bytes) -> Report | None:
        data = json.loads(line)
        self.heard = time.monotonic()
        if data == "ready":
            if not self.ready:  # else an earlier driver had been told, and its job had begun
                self.started = self.heard
            self.ready = True
        elif "pid" in data or "ended" in data:
            self.told(data)
        elif "loading" in data:
            change = self._loading.add if data["loading"] else self._loading.discard
            change(data.get("rank", 0))
        elif "late" in data:
            self.doomed = self.doomed or Failure("crashed", data["late"])
        elif "left" in data:
            self.traces = Traces(*(tuple(data["left"][name]) for name in ("restored", "remaining")))
        else:
            failure = Failure(**data["failure"]) if data["failure"] else None
            gain = Gain(**data["gain"]) if data["gain"] else None
            self.has_begun = True
            ago = self._ago(data.get("at")) + seconds(data.get("ago"))
            return Report(data["trial"], data["kind"], data["metrics"], failure, gain, ago)
        return None

    def _ago(self, at: object) -> float:
        """Returns how many seconds ago a report was made, by the clock of its worker, which is none
        of ours: its first report of a job was heard at once, unless this driver found it."""
        if not isinstance(at, float):
            return 0.0
        if self._lead is None:
            self._lead = self.heard - at
        ago = self.heard - self._lead - at
        return max(0.0, min(ago, self.heard - self.started))

    def told(self, of_processes: Mapping[str, Any]) -> None:  # noqa: B027
        """Takes what it tells of its processes: their numbers, or how one of them has ended."""

    @property
    def is_restless(self) -> bool:
        """True if the trials of its job have ended, but it has not tidied up after them in time."""
        done = self.job is not None and not self.open and self.traces is None
        return done and time.monotonic() > self.heard + REST

    def doom(self, failure: Failure) -> None:
        """Asks it to end; it is to be killed at `kill_at` if it has not."""
        self.doomed = failure
        self.kill_at = time.monotonic() + GRACE
        self.terminate()
