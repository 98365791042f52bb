"""The contract of loggers: they are told what a record says, each in a process of its own."""

import importlib.util
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, final

from runner.display.format import clean
from runner.errors import ConfigError
from runner.goals import Goals
from runner.trial import Metrics, Trial


@final
@dataclass(frozen=True)
class LoggedRun:
    """A run that is logged."""

    folder: Path
    id: str  # the same whenever the run is continued, and of no other run
    config: Mapping[str, Any]
    goals: Goals

    @property
    def name(self) -> str:
        """The name of the run for people: where it lies, such as `2025-01-31_12-00-00`."""
        parts = self.folder.parts
        roots = [i for i, part in enumerate(parts) if part in ("outputs", "multirun")]
        return clean("_".join(parts[roots[-1] + 1 :] if roots else parts[-1:])) or "run"

    def place(self, folder: str | None, name: str) -> Path:
        """Returns the folder for the files of a logger: one of this run in the `folder` that the
        user named, or `name` in the run's own."""
        if folder is None:
            return self.folder / name
        return Path(folder).expanduser() / f"{self.name.replace('/', '_')}-{self.id}"


@final
@dataclass(frozen=True)
class BestModel:
    """What a search found: its best trial, with the metrics of the exported model."""

    trial: int
    metrics: Metrics = field(default_factory=dict)
    folder: Path | None = None  # of its source and weights; None: there are none


class Logger(ABC):
    """A place where the trials of a run can be followed.

    It is built from its config alone, and then told everything the record says, in its order:
    `begin`; of each trial that is trained `start`, `report` after each epoch and for what is only
    known at its end, and `end`; of others `end` alone. A run that is continued is told from its
    beginning again, and a trial that is started again begins anew, so a logger must not show twice
    what it was told before. It may take its time, and may raise anything: it is then told no more,
    and the run goes on.
    """

    extra: ClassVar[str] = ""  # of this package, which installs the `package`
    package: ClassVar[str] = ""  # what the logger imports, once it begins

    def check(self) -> None:
        """Raises ConfigError, before the search begins, if its package is not installed or its
        arguments cannot be used."""
        if self.package and not _is_installed(self.package):
            raise ConfigError(
                f"logger={self.extra} needs the package {self.package}: "
                f'pip install "nas-runner[{self.extra}]".'
            )

    @abstractmethod
    def begin(self, run: LoggedRun) -> None:
        """Prepares for the trials of a run."""

    @abstractmethod
    def start(self, trial: Trial) -> None:
        """Shows that a trial is being trained, and its sample."""

    @abstractmethod
    def report(self, trial: Trial, metrics: Metrics, time: float) -> None:
        """Shows the metrics that a trial reported as its `trial.step`-th, at a `time` in seconds
        since the epoch."""

    @abstractmethod
    def end(self, trial: Trial) -> None:
        """Shows how a trial ended, with all its metrics."""

    @abstractmethod
    def finish(self, best: BestModel) -> None:
        """Shows what the search found; only called if that is known."""

    @abstractmethod
    def close(self) -> None:
        """Writes what is left to write; nothing more follows."""


def flat(config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yields the values of a config, or of a sample, by dotted path: numbers, words, or JSON."""
    for key, value in config.items():
        name = clean(str(key))
        if isinstance(value, Mapping) and value:
            yield from ((f"{name}.{inner}", item) for inner, item in flat(value))
        else:
            yield name, plain(value)


def plain(value: Any) -> bool | int | float | str:
    """Returns a value as a number or as text that every file can hold."""
    if isinstance(value, bool | int | float):
        return value
    return clean(value if isinstance(value, str) else json.dumps(value))


def of_search(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the part of a config that is about the search, and not about who looks at it."""
    return {key: value for key, value in config.items() if key not in ("logger", "resume", "trust")}


def _is_installed(package: str) -> bool:
    found = importlib.util.find_spec(package)
    return found is not None and found.origin is not None  # a folder of that name is no package
