"""The record of an experiment: append-only, one transaction per event."""

import json
import logging
import secrets
import sqlite3
import time
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self, final

from filelock import FileLock, Timeout

from runner.database import (
    RECORD,
    connect_to_write,
    connection_to_read,
    create_tables,
    damaged,
    delete_record,
    has_events,
    has_table,
    translated,
)
from runner.errors import ConfigError, RunFailed
from runner.events import (
    VERSION,
    Event,
    EventKind,
    EventOrder,
    OddEvent,
    OtherVersion,
    parse_event,
)
from runner.goals import Goals
from runner.held_lock import InUse, acquire, who
from runner.resume import resume_override
from runner.run_folder import check_links
from runner.signature import KeyUnusable, doubt, sign
from runner.trial import Failure, Gain, Metrics, Proposal, State, Trial

__all__ = [
    "RECORD",
    "Record",
    "Store",
    "delete_unbegun",
    "has_events",
    "last_event",
    "read",
    "read_config",
    "recorded_events",
    "trial_events",
    "writer",
]
log = logging.getLogger(__name__)
HOLDER = "holder.json"  # says which process writes
LOCK = "run.lock"
_USUAL = vars(Proposal({}))  # what is not recorded


def apply(trial: Trial | None, event: Event, goals: Goals) -> Trial:
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
            stage=data.get("stage", "search"),
            random=data.get("random", False),
            repeat_of=data.get("repeat_of"),
            proxy=data.get("proxy"),
            partial=goals.fidelity is not None and goals.fidelity.is_partial(data["sample"]),
            proposed_at=now,
        )
    assert trial is not None
    match event.kind:
        case "started":
            return replace(trial, metrics={}, step=0, started_at=now)
        case "metrics":
            return replace(trial, metrics={**trial.metrics, **data}, step=trial.step + 1)
        case "finished" | "stopped":
            ended = replace(trial, state=State(event.kind), ended_at=now)
            judged = _judged(ended, {**trial.metrics, **data}, goals)
            return replace(judged, scores=()) if judged.stopped else judged
        case "failed":
            failure = Failure(**data)
            ended = replace(trial, state=State.FAILED, failure=failure, ended_at=now)
            if failure.metrics:
                return replace(_judged(ended, failure.metrics, goals), scores=())
            return ended
    raise AssertionError(event.kind)


def _judged(trial: Trial, metrics: Metrics, goals: Goals) -> Trial:
    """Returns a trial with its final metrics, and what they mean for the goals."""
    violation = sum(goals.violations(metrics))
    return replace(trial, metrics=metrics, scores=goals.scores(metrics), violation=violation)


@final
class Store:
    """The only writer of a record. Holds only the running trials in memory, and of others where
    they are."""

    def __init__(self, folder: Path, goals: Goals) -> None:
        """Opens or creates the record of a folder; one without events is made anew. Raises
        ConfigError if another run writes to it or the folder has links that lead out of it, and
        RunFailed if the record is damaged or cannot be opened."""
        self.folder = folder
        self.goals = goals
        self.running: dict[int, Trial] = {}
        self.next_number = 0
        self._places: dict[int, tuple[int, int]] = {}  # of the first and last event of each trial
        self._run = ""  # the random name of the run, which signatures contain
        self._checksum = 0
        self._resumed_with: Mapping[str, Any] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        check_links(folder)
        self._lock = _lock(folder)
        try:
            if not has_events(folder):
                delete_record(folder)
            self._db = _opened(folder)
        except BaseException:
            self._lock.release()
            raise

    def begin(self, config: Mapping[str, Any]) -> None:
        """Records the config of the run, as the first event."""
        self._run = secrets.token_hex(16)
        signed = {"config": config, "run": self._run, **self._signature(config)}
        self._append("begun", None, {"version": VERSION, **signed})

    def resume(self, config: Mapping[str, Any]) -> None:
        """Records, after the replay, that the run continues with this config."""
        self._resumed_with = config

    def replay(self) -> Iterator[Trial]:
        """Yields each trial after each of its events, in the original order: as it was recorded,
        started, reported, and ended.

        Must be exhausted before anything is appended.
        """
        for place, (event, checksum) in enumerate(_read(self._db, self.folder), start=1):
            self._checksum = checksum
            self._note_place(event.trial, place)
            if event.kind == "begun":
                self._run = event.data.get("run", "")
            if event.trial is not None:
                yield self._take(event)
        if self._resumed_with is not None:
            config = self._resumed_with
            self._append("resumed", None, {"config": config, **self._signature(config)})

    def propose(self, proposal: Proposal, seed: int, key: str, duplicate_of: int | None) -> Trial:
        """Records and returns a new trial, with the next number."""
        own = {"sample": proposal.sample, "seed": seed, "key": key, "duplicate_of": duplicate_of}
        told = {name: value for name, value in vars(proposal).items() if value != _USUAL[name]}
        return self._take(self._append("proposed", self.next_number, own | told))

    def record(
        self, trial: int, kind: EventKind, data: Mapping[str, Any], ago: float = 0.0
    ) -> Trial:
        """Records an event of a running trial, so many seconds after it: `started`, `metrics`, or
        its end."""
        return self._take(self._append(kind, trial, data, ago))

    def note_gain(self, gain: Gain) -> None:
        """Records the gain of training a group as one."""
        self._append("grouped", None, vars(gain))

    def end_as(self, trial: int, other: Trial) -> Trial:
        """Ends a trial with the result of another one that has ended."""
        if other.failure is not None:
            return self.record(trial, "failed", other.failure.data)
        kind: EventKind = "stopped" if other.stopped else "finished"
        return self.record(trial, kind, other.metrics)

    def trial(self, number: int) -> Trial:
        """Returns any trial, read from the record."""
        if number in self.running:
            return self.running[number]
        rows = self._db.execute(
            "select time, kind, trial, data from events where id between ? and ? and trial = ? "
            "order by id",
            (*self._places[number], number),
        )
        trial = None
        for time_, kind, _, data in rows:
            trial = apply(trial, Event(time_, kind, number, json.loads(data)), self.goals)
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

    def _signature(self, config: Mapping[str, Any]) -> dict[str, str]:
        """Returns this user's signature of a config; nothing without a key."""
        try:
            return {"signature": sign(self._run, json.loads(json.dumps(config)))}
        except KeyUnusable as problem:
            if config.get("trust"):
                log.warning(
                    "The record is not signed: %s. To continue, the run will need trust=[...] "
                    "again.",
                    problem,
                )
            return {}

    def _take(self, event: Event) -> Trial:
        number = event.trial
        assert number is not None
        trial = apply(self.running.get(number), event, self.goals)
        if trial.running:
            self.running[number] = trial
        else:
            self.running.pop(number, None)
        self.next_number = max(self.next_number, number + 1)
        return trial

    def _append(
        self, kind: EventKind, trial: int | None, data: Mapping[str, Any], ago: float = 0.0
    ) -> Event:
        now, text = max(time.time() - ago, 0.0), json.dumps(data)
        checksum = _checksum(self._checksum, now, kind, trial, text)
        try:
            added = self._db.execute(
                "insert into events (time, kind, trial, data, checksum) values (?, ?, ?, ?, ?)",
                (now, kind, trial, text, checksum),
            )
        except sqlite3.Error as error:
            raise RunFailed(
                f"Cannot write the record {self.folder / RECORD}: {error}. Earlier events are "
                f"safe; fix the cause, then continue with {resume_override(self.folder)}."
            ) from error
        self._checksum = checksum
        self._note_place(trial, added.lastrowid or 0)
        return Event(now, kind, trial, data)

    def _note_place(self, trial: int | None, place: int) -> None:
        """Remembers which events may be those of a trial, so that none else is read for it."""
        if trial is not None:
            first, _ = self._places.get(trial, (place, place))
            self._places[trial] = first, place


@final
@dataclass(frozen=True)
class Record:
    """The content of a record: the latest config of the run, and its trials."""

    config: Mapping[str, Any]
    trials: list[Trial]
    gains: list[Gain]  # of groups that were trained as one
    run: str = ""  # the random name of the run
    signature: str | None = None  # of the config
    goals: Goals | None = None  # by which the trials are judged; None without trials

    @property
    def doubt(self) -> str:
        """Why this user is not known to have recorded the config; empty if the user has."""
        return doubt(self.run, self.config, self.signature)


def read(
    folder: Path, goals: Goals | None = None, *, see: Callable[[Event], object] = lambda event: None
) -> Record:
    """Reads the record of a run, which may be running; imports and runs nothing that it names.
    `see` is called with each event, so that what else is made of them takes no second look. Raises
    ConfigError if there is none, and RunFailed if it is damaged or none of ours."""
    trials: dict[int, Trial] = {}
    gains: list[Gain] = []
    begun: Event | None = None
    latest: Event | None = None
    for event in recorded_events(folder):
        see(event)
        if event.kind in ("begun", "resumed"):
            begun, latest = begun or event, event
            goals = goals or _goals(event.data["config"], folder)
        elif event.kind == "grouped":
            gains.append(Gain(**event.data))
        elif event.trial is not None and goals is not None:
            trials[event.trial] = apply(trials.get(event.trial), event, goals)
    if begun is None or latest is None:
        raise _unbegun(folder)
    config, signature = latest.data["config"], latest.data.get("signature")
    run = begun.data.get("run", "")
    return Record(config, [*trials.values()], gains, run, signature, goals)


def read_config(folder: Path) -> Record:
    """Reads only the config of a run, not its trials; whether the rest of the record is sound, only
    `read` tells. Raises like it."""
    events = [*_selected(folder, "kind in ('begun', 'resumed')")]
    if not events or events[0].kind != "begun":
        raise _unbegun(folder)
    config, signature = events[-1].data["config"], events[-1].data.get("signature")
    return Record(config, [], [], events[0].data.get("run", ""), signature)


def trial_events(folder: Path, trials: Collection[int]) -> Iterator[Event]:
    """Yields the events of some trials in order. They are validated, but not verified against the
    chain of checksums, for which `read` takes all events. Raises like it."""
    for number in sorted(trials):
        yield from _selected(folder, "trial = ?", number)


def last_event(folder: Path) -> tuple[int, int]:
    """Returns the number and the checksum of the last event of a record: while they are the same,
    so is the record, which is only appended to. (0, 0) without events. Raises RunFailed."""
    if not (folder / RECORD).is_file():
        return 0, 0
    with connection_to_read(folder) as db, translated(folder):
        if not has_table(db):
            return 0, 0
        row = db.execute("select id, checksum from events order by id desc limit 1").fetchone()
        return row or (0, 0)


def _unbegun(folder: Path) -> ConfigError:
    return ConfigError(
        f"No run has begun in {str(folder)!r}: it was stopped before its first event. Start "
        "it again as before; its folder can be used again, as hydra.run.dir."
    )


def recorded_events(folder: Path) -> Iterator[Event]:
    """Yields the events of a record in order, each verified. Raises like `read`, and ConfigError
    if the folder has no record."""
    if not (folder / RECORD).is_file():
        raise ConfigError(f"There is no run in {str(folder)!r}: it has no {RECORD}.")
    with connection_to_read(folder) as db:
        for event, _ in _read(db, folder):
            yield event


def delete_unbegun(folder: Path) -> bool:
    """Deletes the record of a folder in which no run has begun, with its lock. Returns False, and
    deletes nothing, if a run has begun or another process is about to."""
    if not folder.is_dir():
        return True
    if has_events(folder):  # before the lock, which is a file in the folder
        return False
    try:
        check_links(folder)
        lock = _lock(folder)
    except (ConfigError, OSError):
        return False
    try:
        if has_events(folder):
            return False
        delete_record(folder)
        for name in (HOLDER, LOCK):
            (folder / name).unlink(missing_ok=True)
    finally:
        lock.release()
    return True


def _goals(config: Mapping[str, Any], folder: Path) -> Goals:
    given, bounds = config.get("objective"), config.get("constraints", [])
    entries = given if isinstance(given, list) else [given]
    if all(map(_is_objective, entries)) and isinstance(bounds, list):
        try:
            return Goals.of(given, bounds, config.get("fidelity"))
        except ConfigError as error:
            raise RunFailed(
                f"{folder / RECORD} is not a record of this runner: {error} Nothing was changed."
            ) from error
    raise RunFailed(
        f"{folder / RECORD} is not a record of this runner: its objective is {given!r:.60}. "
        "Nothing was changed."
    )


def _is_objective(entry: object) -> bool:
    if not isinstance(entry, dict) or not entry.keys() <= {"metric", "mode", "reference"}:
        return False
    reference = entry.get("reference")
    is_place = reference is None or type(reference) in (int, float)
    return isinstance(entry.get("metric"), str) and entry.get("mode") in ("max", "min") and is_place


def _opened(folder: Path) -> sqlite3.Connection:
    try:
        db = connect_to_write(folder)
        create_tables(db)
    except sqlite3.OperationalError as error:  # a full disk, a missing permission
        text = f"Cannot open the record {folder / RECORD}: {error}."
        raise RunFailed(text) from error
    except sqlite3.DatabaseError as error:
        raise damaged(folder, str(error)) from error
    return db


def _read(db: sqlite3.Connection, folder: Path) -> Iterator[tuple[Event, int]]:
    """Yields all events in order, each verified against the chain of checksums."""
    chain, order = 0, EventOrder()
    with translated(folder):
        if not has_table(db):
            return
        [problem] = db.execute("pragma quick_check(1)").fetchone()
        if problem != "ok":
            raise damaged(folder, problem)
        rows = db.execute("select id, time, kind, trial, data, checksum from events order by id")
        for place, (id_, *parts, checksum) in enumerate(rows, start=1):
            chain = _checksum(chain, *parts)
            if chain != checksum or id_ != place:
                raise damaged(folder, f"event {place} does not match its checksum")
            with _explained(folder, place):
                event = parse_event(*parts)
                order.check(event)
            yield event, checksum


def _selected(folder: Path, condition: str, *values: object) -> Iterator[Event]:
    """Yields the events for which a condition holds, in order, each validated by itself alone."""
    if not (folder / RECORD).is_file():
        raise ConfigError(f"There is no run in {str(folder)!r}: it has no {RECORD}.")
    with connection_to_read(folder) as db, translated(folder):
        if not has_table(db):
            return
        query = f"select id, time, kind, trial, data from events where {condition} order by id"
        for place, *parts in db.execute(query, values):
            with _explained(folder, place):
                event = parse_event(*parts)
            yield event


@contextmanager
def _explained(folder: Path, place: int) -> Iterator[None]:
    """Raises what is odd about an event as RunFailed."""
    try:
        yield
    except OtherVersion as odd:
        raise RunFailed(
            f"{folder / RECORD} was written by another version of runner: {odd} (event "
            f"{place}). Continue with the runner that wrote it."
        ) from odd
    except OddEvent as odd:
        raise RunFailed(
            f"{folder / RECORD} is not a record of this runner: in event {place}, {odd}. "
            "Nothing was changed."
        ) from odd


def _checksum(before: int, *parts: object) -> int:
    return zlib.crc32("\0".join(map(repr, parts)).encode(), before)


def writer(folder: Path) -> str:
    """Says which process writes to a record now, as in " (process 12 on host)"; empty if none does,
    as far as can be told."""
    if not (folder / LOCK).is_file():
        return ""
    try:
        with FileLock(folder / LOCK, timeout=0):
            return ""
    except Timeout:
        return who(folder / HOLDER) or " (by another process)"
    except OSError:  # not ours to lock
        return ""


def _lock(folder: Path) -> FileLock:
    try:
        return acquire(folder / LOCK, folder / HOLDER)
    except InUse as other:
        raise ConfigError(f"The folder {folder} is in use by another run{other}.") from None
