"""Keeps the report of a running search up to date, at next to no cost for the search."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import final

from runner.another_process import starting
from runner.errors import RunnerError, one_line
from runner.report.environment import note_environment
from runner.space.structure import Part
from runner.trial import Trial

SPARSE = 25  # a refresh begins no sooner than after so many times what the last one took
POLITE = 19  # added to the niceness of the process that refreshes


@final
class ReportRefresh:
    """The report of a search: refreshed by a process of its own, and written at the end by this
    one. A failure is told once, and never raised."""

    def __init__(self, folder: Path, every: float | None, tell: Callable[[str], None]) -> None:
        """`every` is the number of seconds between refreshes; None: there is no report. `tell` gets
        a sentence for the user if the report cannot be written."""
        self.folder = folder
        self.every = every
        self._tell = tell
        self._process: subprocess.Popen[str] | None = None
        self._started = self._due = 0.0
        self._has_begun = self._is_written = self._has_failed = False

    def begin(self) -> None:
        """Begins once there is a record: notes what the run runs on. The first refresh follows
        after the usual time."""
        with contextlib.suppress(OSError):  # the report has less to tell
            note_environment(self.folder)
        self._has_begun = True
        self._due = time.monotonic() + (self.every or 0.0)

    def see(self, trial: Trial) -> None:
        """Refreshes the report if it is time; called with each trial that has ended. Returns at
        once."""
        if self.every is None or not self._has_begun or self._has_failed:
            return
        now = time.monotonic()
        if self._process is not None:
            self._look(self._process, now)
        elif now >= self._due:
            self._start(now)

    def write(self, parts: Sequence[Part] = ()) -> Path | None:
        """Writes the report of the search, which has ended, and returns its path; None if there is
        none. See `write_report`."""
        if self.every is None or not self._has_begun or self._is_written:
            return None
        from runner.report.write import write_report  # here: a search begins without it

        self._is_written = True
        self._stop()
        try:
            return write_report(self.folder, parts=parts)
        except Exception as error:
            self._fail(str(error) if isinstance(error, RunnerError) else one_line(error))
            return None

    def wait(self) -> None:
        """Waits until a refresh that goes on has ended."""
        if self._process is not None:
            self._process.wait()
            self._look(self._process, time.monotonic())

    def end(self) -> None:
        """Ends what refreshes; writes the report of a search that was interrupted."""
        self.write()
        self._stop()

    def _start(self, now: float) -> None:
        try:
            self._process = subprocess.Popen(
                starting(__name__, str(self.folder)),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                start_new_session=True,  # so that Ctrl-C reaches the driver only
            )
        except OSError as error:
            self._fail(one_line(error))
        self._started = now

    def _look(self, process: subprocess.Popen[str], now: float) -> None:
        code = process.poll()
        if code is None:
            return
        said = process.communicate()[0].strip()
        self._process = None
        self._due = now + max(self.every or 0.0, SPARSE * (now - self._started))
        if code != 0:
            self._fail(said or f"its process ended with exit code {code}")

    def _stop(self) -> None:
        """Ends a refresh that goes on, with what it has left behind."""
        if self._process is None:
            return
        self._process.kill()
        self._process.communicate()
        self._process = None
        with contextlib.suppress(OSError):
            for left in self.folder.glob(".report.html-*"):
                left.unlink()

    def _fail(self, why: str) -> None:
        if not self._has_failed:
            self._tell(f"The report was not written: {why.rstrip('.')}.")
        self._has_failed = True


def main(folder: str) -> None:
    """Refreshes the report of a run, in a process of its own; prints why if that is not possible.
    Exits with 1 then."""
    from runner.report.write import write_report

    with contextlib.suppress(OSError, AttributeError):
        os.nice(POLITE)
    try:
        write_report(Path(folder), is_running=True, quick=True)
    except Exception as error:
        sys.stdout.write(str(error) if isinstance(error, RunnerError) else one_line(error))
        sys.exit(1)
