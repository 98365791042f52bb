"""What a trial does to the process of its worker: the next trial does not notice it."""

import json
import os
import subprocess
import sys
import textwrap

import misbehaving
import pytest
from among import Ended, run_kinds

from runner.training.leftovers import descendants

CHEAP = (*misbehaving.PUT_BACK, *misbehaving.FAILS, *misbehaving.FINE)
COSTLY = (*misbehaving.REPLACED, *misbehaving.ENDS)
IN_THIS_PROCESS = [kind for kind in (*misbehaving.PUT_BACK, *misbehaving.FAILS)
                   if kind != "interrupted"]  # fmt: skip


def between(kinds):
    """Each misbehaving trial, followed by an honest one; an honest one comes first."""
    return ["honest", *(kind for one in kinds for kind in (one, "honest"))]


def run(name, folder, kinds, **limits):
    order = between(kinds)
    return run_kinds(name, folder, order, [7] * len(order), **limits)


def noticed(trials):
    """The kinds after which an honest trial had other metrics than the first one."""
    first = trials[0]
    assert first.end == "finished" and len(first.metrics) == 1
    return [wrong.kind for wrong, after in zip(trials[1::2], trials[2::2], strict=True)
            if after.metrics != first.metrics or after.end != "finished"]  # fmt: skip


def ends(trials):
    return {trial.kind: trial.end for trial in trials if trial.kind != "honest"}


EXPECTED = {
    **dict.fromkeys((*misbehaving.PUT_BACK, *misbehaving.REPLACED, *misbehaving.FINE), "finished"),
    **dict.fromkeys((*misbehaving.FAILS, *misbehaving.ENDS), "failed"),
}


def test_there_are_many_kinds():
    assert len(misbehaving.WAYS) >= 100 and {*EXPECTED} == {*misbehaving.WAYS}


def test_what_a_trial_changes_or_raises_is_its_own_affair_in_a_worker(tmp_path):
    before = {*descendants(os.getpid())}  # of other tests, such as trackers of resources
    trials, service = run("local", tmp_path, CHEAP, retries=0)
    assert noticed(trials) == []
    assert ends(trials) == {kind: EXPECTED[kind] for kind in CHEAP}
    [note] = service.notes()  # so that no worker was replaced
    assert note.startswith("What trials left changed was put back: trial 1 (the working directory)")
    assert note.endswith("more.") and "\n" not in note and len(note) < 300
    assert {*descendants(os.getpid())} <= before


def test_what_a_trial_changes_or_raises_is_its_own_affair_with_training_inline(tmp_path):
    """In a process of its own, since the trials close the files of pytest."""
    result = tmp_path / "result.json"
    script = textwrap.dedent(f"""
        import json, os, sys
        sys.path[:0] = {sys.path!r}
        from pathlib import Path
        from among import Ended, run_kinds
        from runner.training.leftovers import descendants
        kinds = {between(IN_THIS_PROCESS)!r}
        trials, service = run_kinds("inline", Path({str(tmp_path)!r}), kinds, [7] * len(kinds))
        found = [vars(trial) for trial in trials], service.notes(), descendants(os.getpid())
        Path({str(result)!r}).write_text(json.dumps(found))
    """)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=600)
    assert done.returncode == 0, done.stderr
    found, notes, left = json.loads(result.read_text())
    trials = [Ended(**one) for one in found]
    assert noticed(trials) == []
    assert ends(trials) == {kind: EXPECTED[kind] for kind in IN_THIS_PROCESS}
    assert len(notes) == 1 and not left


def test_honest_trials_leave_nothing_to_tell(tmp_path):
    trials, service = run_kinds("local", tmp_path, ["honest"] * 3, [7, 7, 7])
    assert trials[0].metrics == trials[1].metrics == trials[2].metrics
    assert service.notes() == []


@pytest.mark.exhaustive
def test_a_worker_is_replaced_for_what_cannot_be_put_back(tmp_path):
    trials, service = run("local", tmp_path, misbehaving.REPLACED, retries=0)
    assert noticed(trials) == []
    assert ends(trials) == dict.fromkeys(misbehaving.REPLACED, "finished")
    note = service.notes()[-1]
    count = len(misbehaving.REPLACED)
    assert note.startswith(f"{count} workers were replaced because of what trials left behind: ")
    assert "trial 1 (the thread Thread-" in note


@pytest.mark.exhaustive
def test_a_trial_that_ends_its_worker_costs_that_trial(tmp_path):
    before = {*descendants(os.getpid())}  # of other tests, such as trackers of resources
    trials, _ = run("local", tmp_path, misbehaving.ENDS, retries=0)
    assert noticed(trials) == []
    assert {trial.reason for trial in trials if trial.end == "failed"} == {"crashed"}
    assert ends(trials) == dict.fromkeys(misbehaving.ENDS, "failed")
    assert {*descendants(os.getpid())} <= before


@pytest.mark.parametrize("name", ["inline", "local"])
def test_an_odd_exception_is_one_line_and_leaves_its_traceback(name, tmp_path):
    odd = ["base exception", "silent exception", "lying exception", "huge message", "surrogates"]
    trials, _ = run(name, tmp_path, odd)
    for number, trial in enumerate(trials):
        if trial.kind == "honest":
            continue
        assert trial.end == "failed" and trial.failure.isprintable() and len(trial.failure) < 2200
        text = (tmp_path / "trials" / f"{number:04d}" / "error.txt").read_text(encoding="utf-8")
        assert "Traceback" in text and "misbehaving.py" in text
