"""The loggers of a search, as the search sees them: processes that follow its record."""

import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, final

from runner.another_process import search_path, starting
from runner.display import progress
from runner.log_process import OUTPUT
from runner.loggers.logger import BestModel
from runner.resume import resume_override

PATIENCE = 60.0  # seconds without any progress, after which a logger is given up
STOPPED = 5.0  # seconds that are left to a logger if the search is stopped


@final
class LogFeed:
    """The loggers of a run. None of them can delay or fail a trial: one that fails is told of once,
    and at the end they are waited for as long as they make progress."""

    def __init__(
        self,
        nodes: Mapping[str, Any],
        trust: Sequence[str],
        folder: Path,
        tell: Callable[[str], None],
        secrets: Sequence[str] = (),
    ) -> None:
        """Starts a process for each logger; `tell` receives sentences for the user. `secrets` are
        shown nowhere."""
        hello = {"trust": [*trust], "folder": str(folder.resolve()), "path": search_path(),
                 "secrets": [*secrets]}  # fmt: skip
        self._loggers = [
            _LoggerProcess(name, {**hello, "name": name, "node": node}, tell)
            for name, node in nodes.items()
        ]

    def begin(self) -> None:
        """Lets the loggers follow the record, which has begun."""
        for one in self._loggers:
            one.send(one.hello)

    def finish(self, best: BestModel | None) -> None:
        """Tells the loggers what the search found, if anything, and waits for them."""
        found = None
        if best is not None:
            folder = best.folder and str(best.folder.resolve())
            found = {"trial": best.trial, "metrics": dict(best.metrics), "folder": folder}
        for one in self._loggers:
            if found is not None:
                one.send(found)
            one.end()
        waiting = [one for one in self._loggers if one.is_alive]
        if waiting:
            with progress.waiting("waiting for loggers"):
                for one in waiting:
                    one.wait(PATIENCE)

    def close(self) -> None:
        """Ends the loggers; those that were not told of the end of the search are left little
        time."""
        for one in self._loggers:
            one.end()
        for one in self._loggers:
            one.wait(STOPPED)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@final
class _LoggerProcess:
    """The process of a logger, and the thread that hears it."""

    def __init__(self, name: str, hello: Mapping[str, Any], tell: Callable[[str], None]) -> None:
        self.hello = hello
        self._name = name
        self._tell = tell
        self._heard = time.monotonic()
        self._begun = self._done = self._given_up = False
        reports, theirs = os.pipe()
        try:
            self._process = subprocess.Popen(
                starting("runner.log_process", theirs),
                stdin=subprocess.PIPE,
                pass_fds=[theirs],
                start_new_session=True,  # so that Ctrl-C reaches the search only
            )
        finally:
            os.close(theirs)
        self._thread = threading.Thread(
            target=self._hear, args=(reports,), name=f"logger {name}", daemon=True
        )
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def send(self, what: Mapping[str, Any]) -> None:
        """Sends a line, of which there are two at most. Nothing happens if the process has ended;
        `_hear` tells why."""
        assert self._process.stdin is not None
        self._begun = True
        try:
            self._process.stdin.write(json.dumps(what).encode() + b"\n")
            self._process.stdin.flush()
        except OSError:
            return

    def end(self) -> None:
        """Says that nothing more follows. May be called twice."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.close()
        except OSError:
            return

    def wait(self, patience: float) -> None:
        """Waits until the process has ended, as long as it is heard of within so many seconds.
        Kills it otherwise, and tells the user."""
        self._heard = time.monotonic()
        while self._thread.is_alive() and time.monotonic() < self._heard + patience:
            self._thread.join(0.1)
        if self._thread.is_alive():
            self._given_up = True
            self._process.kill()
            self._thread.join()
            self._warn(f"was not done {patience:.0f} s after the search and was ended")
        self._process.wait()

    def _hear(self, reports: int) -> None:
        with os.fdopen(reports, "rb") as lines:
            for line in lines:
                self._heard = time.monotonic()
                said = json.loads(line)
                self._done = self._done or "done" in said
                if "failed" in said:
                    self._done = True
                    self._warn(f"failed and is told no more: {said['failed']}")
        if self._begun and not self._done and not self._given_up:
            self._warn(f"ended by itself; see {OUTPUT}/{self._name}.txt")

    def _warn(self, what: str) -> None:
        override = resume_override(Path(self.hello["folder"]))
        self._tell(
            f"The logger {self._name} {what.rstrip('.')}. No trial is lost: the record has all of "
            f"them, and once that is mended, {override} logger={self._name} shows them again."
        )
