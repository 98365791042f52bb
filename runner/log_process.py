"""The process of a logger: follows the record of a run, and tells the logger what it says.

It has a process of its own since libraries of this kind start threads, wait for networks, change
the environment and print. None of that reaches the search, which does not wait for it.
"""

import fcntl
import json
import os
import select
import signal
import sqlite3
import sys
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, final

from runner.config.instantiate import build
from runner.database import RECORD
from runner.errors import one_line
from runner.events import Event
from runner.goals import Goals
from runner.loggers.logger import BestModel, LoggedRun, Logger
from runner.masking import masker
from runner.store import apply
from runner.trial import Trial

WAIT = 0.3  # seconds between two looks at the record
MANY = 500  # events that are read at once
PATIENCE = 60  # seconds to finish once the search has ended without a word
OUTPUT = "loggers"  # the folder of what the libraries print


@final
class RecordTail:
    """The events of a record that another process writes, in their order."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / RECORD
        self._last = 0

    def config(self) -> tuple[Mapping[str, Any], str]:
        """Returns the latest config, and the random name of the run."""
        with closing(self._connected()) as db:
            rows = db.execute(
                "select data from events where kind in ('begun', 'resumed') order by id"
            ).fetchall()
        return json.loads(rows[-1][0])["config"], json.loads(rows[0][0]).get("run", "")

    def news(self) -> Iterator[Event]:
        """Yields the events that it has not yielded before. Holds no lock meanwhile."""
        while True:
            with closing(self._connected()) as db:
                rows = db.execute(
                    "select id, time, kind, trial, data from events where id > ? order by id "
                    "limit ?",
                    (self._last, MANY),
                ).fetchall()
            for id_, when, kind, trial, data in rows:
                self._last = id_
                yield Event(when, kind, trial, json.loads(data))
            if len(rows) < MANY:
                return

    def _connected(self) -> sqlite3.Connection:
        return sqlite3.connect(f"{self._path.resolve().as_uri()}?mode=ro", uri=True, timeout=30)


@final
class Teller:
    """Tells a logger what a record says."""

    def __init__(self, logger: Logger, folder: Path) -> None:
        """Begins with the config of the record."""
        self._logger = logger
        self._tail = RecordTail(folder)
        config, name = self._tail.config()
        objective, bounds = config["objective"], config.get("constraints", ())
        self._goals = Goals.of(objective, bounds, config.get("fidelity"))
        self._trials: dict[int, Trial] = {}  # those that run
        id_ = name[:8] or f"{zlib.crc32(str(folder).encode()):08x}"  # older records have no name
        logger.begin(LoggedRun(folder, id_, config, self._goals))

    def catch_up(self) -> Iterator[int]:
        """Tells all that is new. Yields after each event how many were told."""
        for told, event in enumerate(self._tail.news(), start=1):
            if event.trial is not None:
                self._tell(event, event.trial)
            yield told

    def _tell(self, event: Event, number: int) -> None:
        trial = apply(self._trials.get(number), event, self._goals)
        self._trials[number] = trial
        if event.kind == "started":
            self._logger.start(trial)
        elif event.kind == "metrics":
            self._logger.report(trial, event.data, event.time)
        elif not trial.running:
            del self._trials[number]
            if event.kind != "failed" and event.data and trial.started_at is not None:
                self._logger.report(trial, event.data, event.time)
            self._logger.end(trial)


@final
class _StandardInput:
    """The lines of standard input, which can be waited for."""

    def __init__(self) -> None:
        self._text = b""
        self.is_open = True

    def line(self, patience: float | None) -> Any:
        """Returns the next line, read as JSON; None if there is none within so many seconds, or
        ever."""
        while self.is_open and b"\n" not in self._text:
            if not select.select([0], [], [], patience)[0]:
                return None
            more = os.read(0, 1 << 16)
            self.is_open = bool(more)
            self._text += more
        line, end, self._text = self._text.partition(b"\n")
        return json.loads(line) if end else None


def main(reports: int) -> None:
    """Runs a logger until standard input ends, which also happens when the search ends.

    Reads JSON lines: first what to run, and at the end what the search found. Writes such lines to
    the file descriptor `reports`: `{"told": n}` now and then, `{"failed": why}`, `{"done": true}`.
    """
    inbox = _StandardInput()
    setup = inbox.line(None)
    if setup is None:  # the run did not begin
        return
    masker.learn(setup["secrets"])
    folder = Path(setup["folder"])
    output = folder / OUTPUT / f"{setup['name']}.txt"
    with suppress(OSError):
        _wait_for_earlier(output)
        _print_to(output)
    try:
        sys.path[:0] = [entry for entry in setup["path"] if entry not in sys.path]
        logger: Logger = build(setup["node"], setup["trust"])
        _follow(Teller(logger, folder), logger, inbox, reports)
        said: dict[str, Any] = {"done": True}
    except BaseException as error:  # a library may raise anything
        with suppress(OSError, ValueError):
            sys.stderr.write(masker.traceback(error))
        said = {"failed": one_line(error)}
    with suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
        if not output.stat().st_size:
            output.unlink()
            output.parent.rmdir()
    _say(reports, said)
    os._exit(0)  # whatever waits for its end


def _follow(teller: Teller, logger: Logger, inbox: _StandardInput, reports: int) -> None:
    """Tells a logger what is recorded until the search has ended."""
    said = time.monotonic()
    found = None
    while inbox.is_open:
        found = inbox.line(WAIT) or found
        if not inbox.is_open and found is None:  # the search was stopped, perhaps killed
            signal.alarm(PATIENCE)
        for told in teller.catch_up():
            if time.monotonic() > said + 1:
                said = time.monotonic()
                _say(reports, {"told": told})
    if found is not None:
        best = found["folder"]
        logger.finish(BestModel(found["trial"], found["metrics"], best and Path(best)))
    logger.close()


def _say(reports: int, what: Mapping[str, Any]) -> None:
    with suppress(OSError):  # the search has ended
        os.write(reports, json.dumps(what).encode() + b"\n")


def _wait_for_earlier(output: Path) -> None:
    """Waits for the process of an earlier session, which may still tell the same logger after the
    search was killed. The lock is held until this process ends; others do not inherit it."""
    output.parent.mkdir(exist_ok=True)
    fcntl.flock(os.open(output, os.O_RDONLY | os.O_CREAT), fcntl.LOCK_EX)


def _print_to(path: Path) -> None:
    """Sends what the libraries print to a file."""
    path.parent.mkdir(exist_ok=True)  # the earlier one may have removed it
    with path.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
