"""Ctrl-C is noted, whatever becomes of the exception that it raises."""

import os
import signal

import pytest

from runner.errors import Interrupted
from runner.stops import noting_stops, stops


def pressed():
    os.kill(os.getpid(), signal.SIGINT)
    signal.sigtimedwait([], 0)  # a bytecode boundary, where Python calls its handler


def test_it_is_noted_though_a_library_makes_another_error_of_it():
    with noting_stops():
        with pytest.raises(ImportError):
            try:
                pressed()
            except BaseException as error:
                raise ImportError("numpy cannot be imported") from error
        assert stops() == [signal.SIGINT]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_it_raises_what_no_trial_does():
    with pytest.raises(Interrupted) as stopped, noting_stops():
        pressed()
    assert stopped.value.exit_code == 130


def test_one_program_does_not_hear_of_the_stops_of_another_before_it():
    with noting_stops(), pytest.raises(Interrupted):
        pressed()
    with noting_stops():
        assert not stops()


def test_a_handler_of_somebody_else_stays(monkeypatch):
    seen = []
    before = signal.signal(signal.SIGINT, lambda *_: seen.append(1))
    try:
        with noting_stops():
            pressed()
        assert seen == [1] and not stops()
    finally:
        signal.signal(signal.SIGINT, before)
