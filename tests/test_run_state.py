"""The state of a run follows from its folder."""

import pytest
from records import BEGUN, CONFIG, FINISHED, METRICS, PROPOSED, STARTED, write

from runner.config.settings import Settings
from runner.goals import Goals, Objective
from runner.run_state import runs_below, searched, state_of_run
from runner.store import Store, read, writer

SETTINGS = Settings.model_validate(CONFIG)


def state(folder):
    found = state_of_run(folder, SETTINGS, read(folder).trials)
    return found.text, found.can_go_on


def again(number, *events):
    own = ("proposed", number, {**PROPOSED[2], "key": f"k{number}"})
    return [own, *((kind, number, data) for kind, _, data in events)]


@pytest.mark.parametrize("events, text, goes_on", [
    ([], "cut after 0 of 2 trials", True),
    ([PROPOSED, STARTED], "cut after 0 of 2 trials", True),
    ([PROPOSED, STARTED, METRICS, FINISHED], "cut after 1 of 2 trials", True),
    ([PROPOSED, STARTED, METRICS, FINISHED, *again(1, STARTED, FINISHED)], "done, 2 of 2 trials",
     False),
])  # fmt: skip
def test_a_run_is_done_when_its_budget_is_used_up(events, text, goes_on, tmp_path):
    write(tmp_path, BEGUN, *events)
    assert state(tmp_path) == (text, goes_on)


def test_one_that_exported_models_has_ended(tmp_path):
    write(tmp_path, BEGUN, PROPOSED, STARTED, METRICS, FINISHED)
    (tmp_path / "top").mkdir()
    assert state(tmp_path) == ("ended with 1 of 2 trials", False)


def test_one_that_is_written_runs(tmp_path):
    write(tmp_path, BEGUN, PROPOSED, STARTED)
    assert writer(tmp_path) == ""
    with Store(tmp_path, Goals((Objective("val/accuracy", "max"),))):
        text, goes_on = state(tmp_path)
        assert text.startswith("running, 0 of 2 trials ended (process ") and not goes_on
    assert writer(tmp_path) == ""


def test_runs_are_found_at_any_depth_but_not_within_a_run(tmp_path):
    for name in ("b/1", "a/x/2", "b/1/nested"):
        write(tmp_path / name, BEGUN)
    (tmp_path / "latest").symlink_to(tmp_path / "b" / "1")
    assert [*runs_below(tmp_path)] == [tmp_path / "a" / "x" / "2", tmp_path / "b" / "1"]
    assert [*runs_below(tmp_path / "b" / "1")] == [tmp_path / "b" / "1"]


def test_what_was_searched_is_named():
    assert searched(SETTINGS) == "Net with Random, engine py"
    task = {"_target_": "runner.tasks.retrain.Retrain", "run": "outputs/a", "trial": 3,
            "sample": None, "start": "scratch"}  # fmt: skip
    again = SETTINGS.model_copy(update={"task": task})
    assert searched(again) == "Net, trial 3 of outputs/a trained again, engine py"
    for word, said in ((None, "best"), ("best", "best"), (" best ", "best"), (0, "0")):
        best = again.model_copy(update={"task": {**again.task, "trial": word}})
        assert searched(best) == f"Net, trial {said} of outputs/a trained again, engine py"
