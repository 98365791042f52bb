"""The contract of training services, which run jobs somewhere and know no models."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

from runner.errors import require
from runner.trial import Job, Report, Setup


@final
@dataclass(frozen=True)
class Limits:
    """Limits on trials and on failures of a run."""

    retries: int = 1  # restarts of a trial whose worker died, with the same seed
    trial_timeout: float | None = None  # seconds from the start of a trial to its forced end
    stall_timeout: float | None = None  # seconds without a report
    max_failures: int | None = None  # more failed trials end the run
    fail_fast: bool = False  # the first failed trial ends the run

    def __post_init__(self) -> None:
        for name in ("retries", "max_failures"):
            value = getattr(self, name)
            require(value is None or value >= 0, f"training.{name}", value, "0 or more")
        for name in ("trial_timeout", "stall_timeout"):
            value = getattr(self, name)
            require(value is None or value > 0, f"training.{name}", value, "above 0 seconds")


class TrainingService(ABC):
    """A service that runs jobs and delivers their reports. Every submitted job must end, each of
    its trials with a report `finished`, `stopped` or `failed`."""

    owns_terminal = False  # whether trials may use the terminal, as for a debugger

    def __init__(self, setup: Setup, limits: Limits) -> None:
        self.setup = setup
        self.limits = limits

    @property
    @abstractmethod
    def slots(self) -> int:
        """The number of jobs that can run at once."""

    @abstractmethod
    def submit(self, job: Job) -> None:
        """Accepts a job, which runs as soon as a slot is free."""

    @abstractmethod
    def poll(self, handle: Callable[[Report], None], timeout: float) -> None:
        """Passes each new report to `handle`; waits up to `timeout` seconds for the first.

        All calls of `handle` happen here, in the caller's thread.
        """

    @abstractmethod
    def stop(self, trial: int) -> None:
        """Asks a running trial to end early; its final report is then `stopped`."""

    @abstractmethod
    def close(self) -> None:
        """Ends all jobs at once, without further reports, and frees all resources. May be called
        twice, and returns within 5 seconds."""
