"""Event files of TensorBoard, read back by TensorBoard itself."""

import math

import pytest
from logged import hostile, search, show

pytest.importorskip("tensorboard", reason="the extra `tensorboard` is not installed")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def curves(folder):
    """The values of each curve: tag -> [(step, value)]."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder))
    found.Reload()
    return {
        tag: [(e.step, e.value) for e in found.Scalars(tag)] for tag in found.Tags()["scalars"]
    }, found


def test_each_trial_that_was_trained_has_its_curves(tmp_path):
    assert show("tensorboard", tmp_path, search) == []
    place = tmp_path / "tensorboard"
    assert sorted(p.name for p in place.iterdir()) == [
        "best", "trial_0000", "trial_0003", "trial_0004"]  # fmt: skip
    first, events = curves(place / "trial_0000")
    assert first["val/accuracy"] == [(1, pytest.approx(0.1)), (2, pytest.approx(0.2))]
    assert first["test/accuracy"] == [(2, 0.25)]
    assert {"_hparams_/session_start_info", "_hparams_/session_end_info"} <= {
        *events.summary_metadata}  # fmt: skip
    again, _ = curves(place / "trial_0003")
    assert again == {"val/accuracy": [(1, pytest.approx(0.1))]}
    best, _ = curves(place / "best")
    assert best == {"val/accuracy": [(0, pytest.approx(0.2))]}


def test_a_run_that_is_continued_has_each_value_once(tmp_path):
    show("tensorboard", tmp_path, search)
    before, _ = curves(tmp_path / "tensorboard" / "trial_0000")
    assert show("tensorboard", tmp_path, lambda store: None, before=True) == []
    after, _ = curves(tmp_path / "tensorboard" / "trial_0000")
    assert after == before
    assert len([*(tmp_path / "tensorboard" / "trial_0000").iterdir()]) == 1


def test_odd_numbers_are_there(tmp_path):
    assert show("tensorboard", tmp_path, hostile) == []
    found, _ = curves(tmp_path / "tensorboard" / "trial_0000")
    assert found["../../etc"] == [(1, math.inf)] and math.isnan(found["a/b"][0][1])
