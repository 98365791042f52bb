"""Whose weights are kept, and for how long."""

from dataclasses import replace

import pytest

from runner.trial import STATE, WEIGHTS, State, Trial, trial_folder
from runner.weight_keeper import WeightKeeper

SCORES = [0.5, 0.9, 0.1, 0.7, 0.2, 0.8]


def kept(folder, keep, recent, trials):
    """The trials whose weights are left when trials end one after another."""
    keeper = WeightKeeper(folder, keep, recent)
    for trial in trials:
        if trial.duplicate_of is None and trial.scored:
            place = trial_folder(folder, trial.number)
            place.mkdir(parents=True)
            (place / WEIGHTS).touch()
        keeper.see(trial)
    return [n for n in range(len(trials)) if (trial_folder(folder, n) / WEIGHTS).exists()]


def ended(number, score, duplicate_of=None):
    state = State.FAILED if score is None else State.FINISHED
    return Trial(
        number, {}, 0, state, scores=() if score is None else (score,), duplicate_of=duplicate_of
    )


@pytest.mark.parametrize(
    ("keep", "recent", "left"),
    [
        (None, 0, [0, 1, 2, 3, 4, 5]),
        (2, 0, [1, 5]),
        (2, 3, [1, 3, 4, 5]),
        (1, 2, [1, 4, 5]),
        (0, 2, [4, 5]),
    ],
)
def test_the_best_are_kept_and_the_last_ones_that_others_may_start_from(
    tmp_path, keep, recent, left
):
    trials = [ended(number, score) for number, score in enumerate(SCORES)]
    assert kept(tmp_path, keep, recent, trials) == left


def test_a_failed_trial_does_not_push_out_another(tmp_path):
    trials = [ended(0, 0.5), ended(1, 0.9), ended(2, None), ended(3, None)]
    assert kept(tmp_path, 1, 2, trials) == [0, 1]


def test_a_repeated_sample_keeps_the_weights_that_it_shares(tmp_path):
    trials = [ended(0, 0.5), ended(1, 0.9), ended(2, 0.6), ended(3, 0.5, duplicate_of=0)]
    assert kept(tmp_path, 1, 1, trials) == [1]
    trials = [ended(0, 0.5), ended(1, 0.9), ended(2, 0.5, duplicate_of=0)]
    assert kept(tmp_path / "other", 1, 2, trials) == [0, 1]


def training(number, score, repeat_of=None, stage="search"):
    return replace(ended(number, score), repeat_of=repeat_of, stage=stage)


def kept_of_repeats(folder, keep, trials, repeats=2):
    keeper = WeightKeeper(folder, keep, repeats=repeats)
    for trial in trials:
        if trial.scored:
            place = trial_folder(folder, trial.number)
            place.mkdir(parents=True)
            (place / WEIGHTS).touch()
        keeper.see(trial)
    return [t.number for t in trials if (trial_folder(folder, t.number) / WEIGHTS).exists()]


def test_the_weights_of_a_sample_are_those_of_its_first_training(tmp_path):
    trials = [training(0, 0.9), training(1, 0.1, 0), training(2, 0.6), training(3, 0.6, 2)]
    assert kept_of_repeats(tmp_path / "all", None, trials) == [0, 1, 2, 3]
    assert kept_of_repeats(tmp_path / "two", 2, trials) == [0, 2]
    assert kept_of_repeats(tmp_path / "one", 1, trials) == [2]  # the mean of the other is 0.5


@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (2, 1, 0), (1, 0, 2)])
def test_they_stay_until_the_sample_is_judged_and_go_if_a_training_of_it_fails(order, tmp_path):
    better = [training(3, 0.5), training(4, 0.5, 3), training(5, 0.5, 3)]
    one = [training(0, 0.9), training(1, None, 0), training(2, 0.9, 0)]
    assert kept_of_repeats(tmp_path, 1, [*(one[i] for i in order), *better], 3) == [3]
    waits = [training(0, 0.1), *better]
    assert kept_of_repeats(tmp_path / "waits", 1, waits, 3) == [0, 3]


def test_trainings_that_confirm_leave_no_weights(tmp_path):
    trials = [training(0, 0.5), training(1, 0.5, 0), training(2, 0.9, 0, "confirm")]
    assert kept_of_repeats(tmp_path, 1, trials) == [0]


def test_what_is_confirmed_beside_the_best_is_kept_too(tmp_path):
    trials = [replace(training(0, 0.1), random=True), training(1, 0.5), training(2, 0.9)]
    keeper = WeightKeeper(tmp_path, 1, confirms=True)
    for one in trials:
        (trial_folder(tmp_path, one.number)).mkdir(parents=True)
        (trial_folder(tmp_path, one.number) / WEIGHTS).touch()
        keeper.see(one)
    left = [t.number for t in trials if (trial_folder(tmp_path, t.number) / WEIGHTS).exists()]
    assert left == [0, 2]


@pytest.mark.parametrize("score", [None, 0.5])
@pytest.mark.parametrize("keep", [None, 1])
def test_the_state_of_training_code_is_removed_when_its_trial_has_ended(tmp_path, score, keep):
    place = trial_folder(tmp_path, 0)
    place.mkdir(parents=True)
    for name in (STATE, f"{STATE}.partial", "other"):
        (place / name).touch()
    WeightKeeper(tmp_path, keep).see(ended(0, score))
    assert [path.name for path in place.iterdir()] == ["other"]
