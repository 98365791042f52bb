"""The program, run in this process up to the start of its workers."""

import contextlib
import io
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from runner import __main__ as program
from runner import parts
from runner.errors import RunFailed

STARTS = "the search starts"


def attempt(line: str, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Runs the program with arguments, separated by spaces, until it would start its workers."""

    def start(*_, **__):
        raise RunFailed(STARTS)

    monkeypatch.setattr(parts, "make_service", start)
    monkeypatch.setattr(program, "wants_traceback", False)
    monkeypatch.setattr(sys, "argv", ["runner", *line.split(" ")])
    program.exit_code.set(0)
    out, err = io.StringIO(), io.StringIO()
    streams = contextlib.redirect_stdout(out), contextlib.redirect_stderr(err)
    with streams[0], streams[1], pytest.raises(SystemExit) as end:
        program.main()
    return SimpleNamespace(code=end.value.code, out=out.getvalue(), err=err.getvalue())


def assert_refused(done: SimpleNamespace, text: str, where: Path) -> None:
    """The program ended with one clear line, and left no file behind."""
    assert done.code == 2, done.err
    [line] = done.err.splitlines()
    assert line.startswith("error: ") and text in line, line
    assert "Traceback" not in done.err + done.out
    assert not [*where.iterdir()]


def assert_starts(done: SimpleNamespace) -> None:
    assert (done.code, done.err) == (1, f"error: {STARTS}\n")
