"""The contract of training services, which run jobs somewhere and know no models."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import final

from runner.errors import few, require
from runner.training.devices import check_count
from runner.trial import Job, Report, Setup

SHOWN = 3  # trials, or things that they left, that a sentence lists
RETRIES = 100  # a trial that ended so many workers will end the next one too


@final
@dataclass(frozen=True)
class Limits:
    """Limits on trials and on failures of a run."""

    retries: int = 1  # restarts of a trial whose worker died, with the same seed
    trial_timeout: float | None = None  # seconds from the start of a trial to its forced end
    stall_timeout: float | None = None  # seconds without a report, loading of data excepted
    max_failures: int | None = None  # more failed trials end the run
    fail_fast: bool = False  # the first failed trial ends the run

    def __post_init__(self) -> None:
        check_count("retries", self.retries, least=0, most=RETRIES)
        if self.max_failures is not None:
            check_count("max_failures", self.max_failures, least=0)
        for name in ("trial_timeout", "stall_timeout"):
            value = getattr(self, name)
            fits = value is None or (_is_number(value) and 0 < value < math.inf)
            rule = "a number of seconds above 0, or null for no limit"
            require(fits, f"training.{name}", value, rule)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@final
@dataclass(frozen=True)
class Traces:
    """What trials left behind: what was put back, and what could not be."""

    restored: tuple[str, ...] = ()
    remaining: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.restored or self.remaining)

    def __add__(self, other: "Traces") -> "Traces":
        return Traces(
            (*dict.fromkeys((*self.restored, *other.restored)),),
            (*dict.fromkeys((*self.remaining, *other.remaining)),),
        )


class TrainingService(ABC):
    """A service that runs jobs and delivers their reports. Every submitted job must end, each of
    its trials with a report `finished`, `stopped` or `failed`."""

    owns_terminal = False  # whether trials may use the terminal, as for a debugger

    def __init__(self, setup: Setup, limits: Limits) -> None:
        self.setup = setup
        self.limits = limits
        self._left: list[tuple[Sequence[int], Traces]] = []  # behind by which trials

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
        """Asks a running trial to end early; its final report is then `stopped`, or what it was
        about to be. A stopped trial is not run again, such as after a crash of its worker."""

    @abstractmethod
    def close(self) -> None:
        """Ends all jobs at once, without further reports, and frees all resources. May be called
        twice, and returns within 5 seconds."""

    def notes(self) -> Sequence[str]:
        """Returns sentences about what trials left behind, for the end of a run."""
        restored = [(numbers, traces.restored) for numbers, traces in self._left if traces.restored]
        remains = [
            (numbers, traces.remaining) for numbers, traces in self._left if traces.remaining
        ]
        notes = []
        if restored:
            notes.append(f"What trials left changed was put back: {_by_trial(restored)}.")
        if remains:
            notes.append(f"{self._consequence(len(remains))}: {_by_trial(remains)}.")
        return notes

    def _consequence(self, times: int) -> str:
        """Returns the start of a sentence on what could not be put back."""
        return "What trials left behind may affect later trials, since it cannot be undone"


def _by_trial(found: Sequence[tuple[Sequence[int], Collection[str]]]) -> str:
    """Returns which trials left what, of which there may be many."""
    return few([f"{_trials(numbers)} ({listed(what)})" for numbers, what in found], SHOWN)


def _trials(numbers: Sequence[int]) -> str:
    return f"trial{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers))}"


def listed(names: Collection[str]) -> str:
    """Returns names for a message, of which there may be many."""
    return few(names, SHOWN)
