"""Learning curves are what a record says, report by report."""

from pathlib import Path

import pytest
from records import BEGUN, FINISHED, METRICS, NOW, PROPOSED, STARTED, write

from runner.errors import ConfigError
from runner.learning_curves import CurvePoint, learning_curves


def test_each_report_is_a_step(tmp_path: Path) -> None:
    second = ("metrics", 0, {"val/accuracy": 0.75, "loss": 1.0})
    write(tmp_path, BEGUN, PROPOSED, STARTED, METRICS, second, FINISHED)
    assert learning_curves(tmp_path) == {
        0: [
            CurvePoint(NOW + 4, {"val/accuracy": 0.5}),
            CurvePoint(NOW + 5, {"val/accuracy": 0.75, "loss": 1.0}),
        ]
    }


def test_a_trial_that_was_started_again_begins_anew(tmp_path: Path) -> None:
    again = ("metrics", 0, {"val/accuracy": 0.25})
    write(tmp_path, BEGUN, PROPOSED, STARTED, METRICS, STARTED, again)
    assert learning_curves(tmp_path) == {0: [CurvePoint(NOW + 6, {"val/accuracy": 0.25})]}


def test_only_the_trials_asked_for_are_returned(tmp_path: Path) -> None:
    write(tmp_path, BEGUN, PROPOSED, STARTED, METRICS)
    assert learning_curves(tmp_path, [3]) == {}
    assert [*learning_curves(tmp_path, [0])] == [0]


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no run in .* it has no run\.db"):
        learning_curves(tmp_path)
