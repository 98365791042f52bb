"""Training service: runs jobs somewhere. It knows no models."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

from runner.errors import require
from runner.trial import Job, Report, Setup


@final
@dataclass(frozen=True)
class Limits:
    """What a trial and a run may cost before they are ended."""

    retries: int = 1  # how often a trial whose worker died is started again, same seed
    trial_timeout: float | None = None  # seconds from a trial's start to its forced end
    stall_timeout: float | None = None  # seconds without a report
    max_failures: int | None = None  # more failed trials than this end the run
    fail_fast: bool = False  # the first failed trial ends the run

    def __post_init__(self) -> None:
        for name in ("retries", "max_failures"):
            value = getattr(self, name)
            require(value is None or value >= 0, f"training.{name}", value, "0 or more")
        for name in ("trial_timeout", "stall_timeout"):
            value = getattr(self, name)
            require(value is None or value > 0, f"training.{name}", value, "above 0 seconds")


class TrainingService(ABC):
    """Runs jobs and pushes what they say. Duty: every submitted job ends, each of its trials with
    a report `finished`, `stopped` or `failed`."""

    owns_terminal = False  # whether trials may talk to the terminal, as a debugger does

    def __init__(self, setup: Setup, limits: Limits) -> None:
        self.setup = setup
        self.limits = limits

    @property
    @abstractmethod
    def slots(self) -> int:
        """How many jobs can run at once."""

    @abstractmethod
    def submit(self, job: Job) -> None:
        """Take a job; it runs as soon as a slot is free."""

    @abstractmethod
    def poll(self, handle: Callable[[Report], None], timeout: float) -> None:
        """Hand each report that came in to `handle`; wait up to `timeout` seconds for the first.

        All calls of `handle` are made here, in the caller's thread.
        """

    @abstractmethod
    def stop(self, trial: int) -> None:
        """Ask a running trial to end early; its report is then `stopped`."""

    @abstractmethod
    def close(self) -> None:
        """End all jobs at once, without further reports, and free everything. May be called twice,
        and returns within 5 seconds."""
