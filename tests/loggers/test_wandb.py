"""Offline runs of Weights & Biases: their files are there, each trial once, and nothing is sent."""

import pytest
from logged import search, show

pytest.importorskip("wandb", reason="the extra `wandb` is not installed")


def runs(folder):
    """The offline runs of a folder: the last part of their names."""
    return sorted(p.name.rpartition("-")[2] for p in (folder / "wandb").glob("offline-run-*"))


def test_each_trial_that_was_trained_is_a_run_and_shown_once(tmp_path):
    assert show("wandb", tmp_path, search) == []
    place = tmp_path / "wandb"
    assert runs(place) == ["0000", "0003", "0004", "best"]
    for run in (place / "wandb").glob("offline-run-*"):
        assert [path.stat().st_size > 100 for path in run.glob("*.wandb")] == [True]
    [note] = place.glob("shown-*.txt")
    assert note.read_text().split() == ["3", "4", "0"]
    before = sorted(place.rglob("*.wandb"))
    assert show("wandb", tmp_path, lambda store: None, before=True) == []
    assert sorted(place.rglob("*.wandb")) == before


def test_a_trial_that_was_left_half_shown_is_shown_anew(tmp_path):
    show("wandb", tmp_path, search)
    place = tmp_path / "wandb"
    [note] = place.glob("shown-*.txt")
    note.write_text("3\n4\n")  # killed before the end of trial 0
    [old] = (place / "wandb").glob("offline-run-*-0000")
    old = old.rename(old.with_name(old.name.replace("offline-run-2", "offline-run-1")))
    assert show("wandb", tmp_path, lambda store: None, before=True) == []
    assert not old.exists() and runs(place) == ["0000", "0003", "0004", "best"]
