"""The samples that come first: those of the config, and the best of another run."""

import os
from pathlib import Path

import pytest
from searches import NET, Search

from runner.engines.py import PyEngine
from runner.errors import ConfigError
from runner.first_samples import BEST, first_samples
from runner.space.choice import Categorical, Numeric
from runner.space.space import FlatSpace

SPACE = FlatSpace([Categorical("a", (1, 2, 3)), Categorical("b", (1, 2))])


def test_samples_are_completed_and_stay_in_order():
    found = first_samples([{"a": 3}, {"a": 1, "b": 2}], SPACE, 0)
    assert [sample["a"] for sample in found] == [3, 1]
    assert all(SPACE.contains(sample) for sample in found)


def test_a_folder_stands_for_the_best_trials_of_its_run_and_is_only_read(tmp_path):
    search = Search(tmp_path)
    trials = search.run(trials=12)
    before = {path: path.stat().st_mtime_ns for path in sorted(tmp_path.rglob("*"))}
    space = PyEngine(space=NET, trust=["toy"]).space
    found = first_samples([str(tmp_path)], space, 0)
    ranked = sorted((t for t in trials if t.scored and t.duplicate_of is None),
                    key=lambda t: (-t.score, t.number))  # fmt: skip
    assert found == [trial.sample for trial in ranked[:BEST]]
    assert {path: path.stat().st_mtime_ns for path in sorted(tmp_path.rglob("*"))} == before


def test_a_trial_of_another_space_is_refused_by_its_number(tmp_path):
    Search(tmp_path).run(trials=2)
    with pytest.raises(ConfigError, match=r"^strategy.first\[0\], trial \d of .* has the label"):
        first_samples([str(tmp_path)], FlatSpace([Numeric("x", 0.0, 1.0)]), 0)


@pytest.mark.parametrize("entry", ["nowhere", "", 5, None, ["a"], "a\0b", os.devnull])
def test_what_is_neither_a_sample_nor_a_run_is_refused(entry):
    with pytest.raises(ConfigError, match=r"^strategy.first\[1\] is .*; it must be a sample, such"):
        first_samples([{}, entry], SPACE, 0)


def test_a_folder_without_a_run_is_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"or the folder of a run, such as outputs/latest"):
        first_samples([str(tmp_path)], SPACE, 0)
