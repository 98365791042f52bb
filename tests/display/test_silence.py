"""Lines fill silences, and only silences; what they say is timed by a clock of the test's own."""

import os
import re
import sys
import threading
import time
from pathlib import Path

import pytest

from runner.display import silence
from runner.display.silence import Heartbeat, Silence

PATIENCE = 30.0  # seconds


def told(count: int, moment: float, quiet: Silence | None = None) -> list[float]:
    """What a heartbeat is told until it has spoken so often."""
    said, enough = [], threading.Event()

    def say(seconds: float) -> None:
        said.append(seconds)
        if len(said) == count:
            enough.set()

    heartbeat = Heartbeat(quiet or Silence(), say, moment)
    assert enough.wait(PATIENCE)
    heartbeat.stop()
    return said


def test_a_silence_is_told_again_and_again_with_how_long_the_wait_takes():
    said = told(3, 0.0)
    assert len(said) >= 3 and said == sorted(said) and said[0] >= 0


def test_nothing_is_said_once_it_has_stopped():
    said: list[float] = []
    heartbeat = Heartbeat(Silence(), said.append, 0.0)
    heartbeat.stop()
    heartbeat.stop()
    before = len(said)
    time.sleep(0.05)
    assert len(said) == before


def test_a_silence_that_began_before_the_wait_counts():
    quiet = Silence()
    quiet.end(ago=1000.0)
    told(1, 900.0, quiet)
    assert quiet.seconds < 900.0  # what was said ended it


def test_what_others_say_ends_a_silence():
    quiet = Silence()
    quiet.end(ago=1000.0)
    quiet.end()
    said: list[float] = []
    heartbeat = Heartbeat(quiet, said.append, 900.0)
    time.sleep(0.05)
    heartbeat.stop()
    assert not said


def test_lines_of_a_long_wait_are_rare(monkeypatch):
    monkeypatch.setattr(silence, "OFTEN", 0.0)
    quiet = Silence()
    quiet.end(ago=silence.SELDOM / 2)
    said: list[float] = []
    heartbeat = Heartbeat(quiet, said.append, 0.0)
    time.sleep(0.05)
    heartbeat.stop()
    assert not said
    quiet.end(ago=2 * silence.SELDOM)
    told(1, 0.0, quiet)


@pytest.mark.parametrize(("terminal", "term", "said"), [
    (False, "xterm", r"(Loading \.\.\.\n)+"), (True, "dumb", r"(Loading \.\.\.\n)+"),
    (True, "xterm", r"(\rLoading \.\.\.)+\r\x1b\[K"),
])  # fmt: skip
def test_imports_that_take_long_are_told(terminal, term, said, monkeypatch, capsys):
    monkeypatch.setenv("TERM", term)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    monkeypatch.setattr(silence, "spoken", Silence(ago=1000.0))
    told = ""
    with silence.loading():
        while not told:
            time.sleep(0.01)
            told = capsys.readouterr().err
    out, err = capsys.readouterr()
    assert out == "" and re.fullmatch(said, told + err)


def test_imports_that_are_quick_are_not_told(monkeypatch, capsys):
    monkeypatch.setattr(silence, "spoken", Silence(ago=-1000.0))
    with silence.loading():
        time.sleep(0.02)
    assert capsys.readouterr() == ("", "")


def test_a_process_that_did_something_else_before_has_no_age():
    assert silence.young(1.5) == 1.5 and silence.young(silence.YOUNG) == 0.0


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="not Linux")
def test_the_age_of_a_process_counts_from_its_start_not_from_its_work():
    before = silence.age()
    time.sleep(0.1)
    assert silence.age() - before >= 0.09
    assert before >= time.process_time() / max(os.cpu_count() or 1, 1) - 1


def test_the_age_is_known_roughly_where_there_is_no_proc(monkeypatch):
    monkeypatch.setattr(silence, "Path", lambda _: silence_without_proc())
    assert 0 <= silence.age() <= time.process_time()


def silence_without_proc():
    raise FileNotFoundError
