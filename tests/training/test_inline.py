"""Training in this process: a real Ctrl-C stops it, and what a trial raises does not."""

import signal

import pytest
from among import run_kinds

from runner.errors import Interrupted


def test_a_real_ctrl_c_stops_the_run(tmp_path):
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted) as stopped:
        run_kinds("inline", tmp_path, ["honest", "interrupted", "honest"], [7, 7, 7])
    assert stopped.value.exit_code == 130
    assert signal.getsignal(signal.SIGINT) is before
    assert not (tmp_path / "trials" / "0001" / "error.txt").exists()


def test_a_keyboard_interrupt_that_a_trial_raises_costs_that_trial(tmp_path):
    trials, _ = run_kinds("inline", tmp_path, ["keyboard interrupt", "honest"], [7, 7])
    assert [trial.end for trial in trials] == ["failed", "finished"]
    assert trials[0].failure == "KeyboardInterrupt"
    assert (tmp_path / "trials" / "0000" / "error.txt").is_file()
