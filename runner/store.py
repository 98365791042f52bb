"""The record of an experiment: append-only, one transaction per event."""

import json
import os
import socket
import sqlite3
import time
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self, final

from filelock import FileLock, Timeout

from runner.errors import ConfigError, RunFailed
from runner.space.sample import Sample
from runner.trial import Failure, Gain, Objective, State, Trial

RECORD = "run.db"
VERSION = 2
EventKind = Literal[
    "begun", "resumed", "grouped", "proposed", "started", "metrics", "finished", "stopped", "failed"
]

SCHEMA = """
create table if not exists events (
    id integer primary key, time real, kind text, trial integer, data text, checksum integer
)
"""


@final
@dataclass(frozen=True)
class Event:
    """An event. `trial` is None for events of the run as a whole."""

    time: float  # seconds since the epoch
    kind: EventKind
    trial: int | None
    data: Mapping[str, Any]


def apply(trial: Trial | None, event: Event, objective: Objective) -> Trial:
    """Returns a trial after an event. All semantics of events are defined here."""
    data, now = event.data, event.time
    if event.kind == "proposed":
        return Trial(
            number=event.trial or 0,
            sample=data["sample"],
            seed=data["seed"],
            key=data["key"],
            duplicate_of=data["duplicate_of"],
            parent=data.get("parent"),  # older records have no parents
            proposed_at=now,
        )
    assert trial is not None
    match event.kind:
        case "started":
            return replace(trial, metrics={}, step=0, started_at=now)
        case "metrics":
            return replace(trial, metrics={**trial.metrics, **data}, step=trial.step + 1)
        case "finished" | "stopped":
            metrics = {**trial.metrics, **data}
            score = objective.score(metrics)
            return replace(
                trial, state=State(event.kind), metrics=metrics, score=score, ended_at=now
            )
        case "failed":
            return replace(trial, state=State.FAILED, failure=Failure(**data), ended_at=now)
    raise AssertionError(event.kind)


@final
class Store:
    """The only writer of a record. Holds only the running trials in memory."""

    def __init__(self, folder: Path, objective: Objective) -> None:
        """Opens or creates the record of a folder. Raises ConfigError if another run writes to it,
        and RunFailed if the record is damaged."""
        self.folder = folder
        self.objective = objective
        self.running: dict[int, Trial] = {}
        self.next_number = 0
        self._checksum = 0
        self._resumed_with: Mapping[str, Any] | None = None
        self._lock = _lock(folder)
        fresh = not (folder / RECORD).exists()
        try:
            self._db = _connect(folder / RECORD, writing=True)
            self._db.execute(SCHEMA)
        except sqlite3.DatabaseError as error:
            self._lock.release()
            if fresh:
                (folder / RECORD).unlink(missing_ok=True)
            if isinstance(error, sqlite3.OperationalError):  # a full disk, a missing permission
                text = f"Cannot open the record {folder / RECORD}: {error}."
                raise RunFailed(text) from error
            raise _damaged(folder, str(error)) from error

    def begin(self, config: Mapping[str, Any]) -> None:
        """Records the config of the run, as the first event."""
        self._append("begun", None, {"version": VERSION, "config": config})

    def resume(self, config: Mapping[str, Any]) -> None:
        """Records, after the replay, that the run continues with this config."""
        self._resumed_with = config

    def replay(self) -> Iterator[Trial]:
        """Yields each trial as it was recorded, and again as it ended, in the original order.

        Must be exhausted before anything is appended.
        """
        for event, checksum in _read(self._db, self.folder):
            self._checksum = checksum
            if event.trial is not None:
                trial = self._take(event)
                if event.kind == "proposed" or not trial.running:
                    yield trial
        if self._resumed_with is not None:
            self._append("resumed", None, {"config": self._resumed_with})

    def propose(
        self,
        sample: Sample,
        seed: int,
        key: str,
        duplicate_of: int | None,
        parent: int | None = None,
    ) -> Trial:
        """Records and returns a new trial, with the next number."""
        data = {"sample": sample, "seed": seed, "key": key, "duplicate_of": duplicate_of}
        if parent is not None:
            data["parent"] = parent
        return self._take(self._append("proposed", self.next_number, data))

    def record(self, trial: int, kind: EventKind, data: Mapping[str, Any]) -> Trial:
        """Records an event of a running trial: `started`, `metrics`, or its end."""
        return self._take(self._append(kind, trial, data))

    def note_gain(self, gain: Gain) -> None:
        """Records the gain of training a group as one."""
        self._append("grouped", None, vars(gain))

    def end_as(self, trial: int, other: Trial) -> Trial:
        """Ends a trial with the result of another one that has ended."""
        if other.failure is not None:
            return self.record(trial, "failed", vars(other.failure))
        kind: EventKind = "stopped" if other.state is State.STOPPED else "finished"
        return self.record(trial, kind, other.metrics)

    def trial(self, number: int) -> Trial:
        """Returns any trial, read from the record."""
        if number in self.running:
            return self.running[number]
        rows = self._db.execute(
            "select time, kind, trial, data from events where trial = ? order by id", (number,)
        )
        trial = None
        for time_, kind, _, data in rows:
            trial = apply(trial, Event(time_, kind, number, json.loads(data)), self.objective)
        assert trial is not None
        return trial

    def close(self) -> None:
        """Closes the record, leaving a single file, and releases its lock."""
        self._db.close()
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _take(self, event: Event) -> Trial:
        number = event.trial
        assert number is not None
        trial = apply(self.running.get(number), event, self.objective)
        if trial.running:
            self.running[number] = trial
        else:
            self.running.pop(number, None)
        self.next_number = max(self.next_number, number + 1)
        return trial

    def _append(self, kind: EventKind, trial: int | None, data: Mapping[str, Any]) -> Event:
        now, text = time.time(), json.dumps(data)
        checksum = _checksum(self._checksum, now, kind, trial, text)
        try:
            self._db.execute(
                "insert into events (time, kind, trial, data, checksum) values (?, ?, ?, ?, ?)",
                (now, kind, trial, text, checksum),
            )
        except sqlite3.Error as error:
            raise RunFailed(
                f"Cannot write the record {self.folder / RECORD}: {error}. Earlier events are "
                f"safe; fix the cause, then continue with resume={self.folder}."
            ) from error
        self._checksum = checksum
        return Event(now, kind, trial, data)


@final
@dataclass(frozen=True)
class Record:
    """The content of a record: the latest config of the run, and its trials."""

    config: Mapping[str, Any]
    trials: list[Trial]
    gains: list[Gain]  # of groups that were trained as one


def read(folder: Path, objective: Objective | None = None) -> Record:
    """Reads the record of a run, which may be running. Raises ConfigError if there is none, and
    RunFailed if it is damaged."""
    if not (folder / RECORD).is_file():
        raise ConfigError(f"There is no run in {str(folder)!r}: it has no {RECORD}.")
    config: Mapping[str, Any] = {}
    trials: dict[int, Trial] = {}
    gains: list[Gain] = []
    db = _connect(folder / RECORD, writing=False)
    try:
        for event, _ in _read(db, folder):
            if event.kind in ("begun", "resumed"):
                config = event.data["config"]
                objective = objective or Objective(**config["objective"])
            elif event.kind == "grouped":
                gains.append(Gain(**event.data))
            elif event.trial is not None and objective is not None:
                trials[event.trial] = apply(trials.get(event.trial), event, objective)
    finally:
        db.close()
    if not config:
        raise _damaged(folder, "it does not contain the config of the run")
    return Record(config, list(trials.values()), gains)


def _read(db: sqlite3.Connection, folder: Path) -> Iterator[tuple[Event, int]]:
    """Yields all events in order, each verified against the chain of checksums."""
    chain = 0
    try:
        [problem] = db.execute("pragma quick_check(1)").fetchone()
        if problem != "ok":
            raise _damaged(folder, problem)
        rows = db.execute("select id, time, kind, trial, data, checksum from events order by id")
        for place, (id_, time_, kind, trial, data, checksum) in enumerate(rows, start=1):
            chain = _checksum(chain, time_, kind, trial, data)
            if chain != checksum or id_ != place:
                raise _damaged(folder, f"event {place} does not match its checksum")
            event = Event(time_, kind, trial, json.loads(data))
            if kind == "begun" and event.data["version"] != VERSION:
                raise RunFailed(
                    f"The record {folder / RECORD} has version {event.data['version']}; this "
                    f"runner reads version {VERSION}. Continue with the runner that wrote it."
                )
            yield event, checksum
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        raise _damaged(folder, str(error)) from error


def _damaged(folder: Path, problem: str) -> RunFailed:
    return RunFailed(
        f"The record {folder / RECORD} is damaged: {problem}. Nothing was changed. Restore it from "
        "a copy, or start a new run."
    )


def _checksum(before: int, *parts: object) -> int:
    return zlib.crc32("\0".join(map(repr, parts)).encode(), before)


def _connect(path: Path, writing: bool) -> sqlite3.Connection:
    """Opens a database with a write-ahead log: a kill loses nothing, readers do not block."""
    mode = "rwc" if writing else "rw"
    db = sqlite3.connect(
        f"{path.resolve().as_uri()}?mode={mode}", uri=True, isolation_level=None, timeout=30
    )
    if writing:
        db.execute("pragma journal_mode = wal")
        db.execute("pragma synchronous = normal")
    return db


def _lock(folder: Path) -> FileLock:
    folder.mkdir(parents=True, exist_ok=True)
    holder = folder / "holder.json"
    lock = FileLock(folder / "run.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ConfigError(f"The folder {folder} is in use by another run{_who(holder)}.") from None
    holder.write_text(json.dumps({"host": socket.gethostname(), "pid": os.getpid()}))
    return lock


def _who(holder: Path) -> str:
    try:
        info = json.loads(holder.read_text())
        return f" (process {info['pid']} on {info['host']})"
    except (OSError, ValueError, KeyError):
        return ""
