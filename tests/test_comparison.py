"""The verdict on a search: what may be said of its winner beside chance, and what may not."""

import random as draws
from dataclasses import replace
from statistics import fmean, stdev

import pytest
from scipy.stats import ttest_ind

from runner.comparison import verdict
from runner.goals import Goals, Objective
from runner.trial import State, Trial

GOALS = Goals((Objective("val/accuracy", "max"),))


def trial(number, value, goals=GOALS, **changes) -> Trial:
    metrics = value if isinstance(value, dict) else {"val/accuracy": value}
    return Trial(number, {"a": number}, number, State.FINISHED, metrics,
                 scores=goals.scores(metrics), **changes)  # fmt: skip


def again(first, number, value, stage="search") -> Trial:
    return replace(trial(number, value), repeat_of=first, stage=stage, random=False)


def searched(random, chosen):
    """A search that began with random samples."""
    values = [*random, *chosen]
    return [trial(n, value, random=n < len(random)) for n, value in enumerate(values)]


def test_without_repeats_it_does_not_know_the_noise():
    assert verdict(searched([0.5, 0.7], [0.9, 0.8]), GOALS) == (
        "The best of the search (trial 2: val/accuracy 0.9000) is 0.2000 better than the best of 2 "
        "random samples (trial 1: val/accuracy 0.7000); whether that is noise, confirm={top: 5, "
        "seeds: 3} tells. The search tried 4; compare=random tries as many at random."
    )


@pytest.mark.parametrize(
    ("news", "rival", "said"),
    [
        ([0.90, 0.91, 0.92], [0.70, 0.71, 0.72], "is better than the best of 2 random samples"),
        ([0.70, 0.90, 0.80], [0.70, 0.85, 0.75], "is not better than the best of 2 random samples"),
    ],
)
def test_the_interval_of_two_confirmed_samples_is_that_of_students_test(news, rival, said):
    trials = searched([0.5, 0.7], [0.9])
    trials += [again(2, 10 + i, value, "confirm") for i, value in enumerate(news)]
    trials += [again(1, 20 + i, value, "confirm") for i, value in enumerate(rival)]
    found = verdict(trials, GOALS)
    interval = ttest_ind(news, rival).confidence_interval(0.95)
    low, high = (f"{float(side):.4f}" for side in (interval.low, interval.high))
    assert said in found and f"(95% interval {low} to {high})" in found
    told = f"trial 2: val/accuracy {fmean(news):.4f} ±{stdev(news):.4f} over 3 seeds"
    assert told in found


def test_both_are_chosen_by_what_was_known_before_they_were_confirmed():
    """Trial 2 is the best of the search, though trials 3 and 0 have better new results."""
    trials = searched([0.5, 0.7], [0.9, 0.8])
    for number, values in ((0, [0.9, 0.9]), (1, [0.7, 0.6]), (2, [0.6, 0.7]), (3, [0.8, 0.9])):
        trials += [again(number, 10 * number + 10 + i, v, "confirm") for i, v in enumerate(values)]
    found = verdict(trials, GOALS)
    assert "The best of the search (trial 2: val/accuracy 0.6500" in found
    assert "random samples (trial 1: val/accuracy 0.6500" in found


def test_what_every_seed_gives_alike_is_no_measure_of_noise():
    trials = searched([0.5], [0.9])
    trials += [again(n, 10 * n + 10 + i, v, "confirm")
               for n, v in ((0, 0.5), (1, 0.9)) for i in range(2)]  # fmt: skip
    assert "over 2 seeds), under each seed." in verdict(trials, GOALS)
    assert "interval" not in verdict(trials, GOALS)


def test_a_confirmed_sample_is_not_held_against_one_that_is_not():
    trials = [*searched([0.5], [0.9]), again(1, 10, 0.8, "confirm"), again(1, 11, 0.7, "confirm")]
    assert "only one of them is confirmed, so that may be luck." in verdict(trials, GOALS)


def test_a_tie_is_called_that():
    trials = [trial(0, 0.5, random=True), trial(1, 0.4), trial(2, 0.6, random=True)]
    trials += [again(0, 3, 0.5), again(2, 4, 0.6)]
    assert "chance found it, too" in verdict(trials, GOALS)
    goals = Goals((Objective("val/accuracy", "max"),))
    tie = [trial(0, 0.5), trial(1, 0.5, random=True, stage="baseline")]
    assert "is as good as the best of 1 random sample" in verdict(tie, goals)


def test_a_better_random_sample_of_the_comparison_is_said():
    trials = [*searched([], [0.5, 0.6]), trial(5, 0.9, random=True, stage="baseline")]
    assert "is 0.3000 worse than the best of 1 random sample" in verdict(trials, GOALS)
    trials += [again(1, 6, 0.59), again(1, 7, 0.61), again(5, 8, 0.89), again(5, 9, 0.91)]
    trials[-2:] = [replace(one, stage="baseline") for one in trials[-2:]]
    assert "is worse than the best of 1 random sample" in verdict(trials, GOALS)
    assert "beyond noise: by 0.3" in verdict(trials, GOALS)


def test_less_is_better_where_it_is_minimized():
    goals = Goals((Objective("val/loss", "min"),))
    trials = [trial(0, {"val/loss": 2.0}, goals, random=True), trial(1, {"val/loss": 0.5}, goals)]
    assert "is 1.5000 better than the best of 1 random sample" in verdict(trials, goals)


def test_a_winner_that_chance_found_is_called_that():
    assert verdict(searched([0.5, 0.9], [0.8, 0.7]), GOALS).startswith(
        "The best of the search, trial 1, is also the best of 2 random samples: chance found it, "
        "too."
    )
    shared = trial(5, 0.9, random=True, stage="baseline", duplicate_of=1)
    assert "trial 1, is also the best" in verdict([*searched([], [0.5, 0.9]), shared], GOALS)


def test_where_nothing_was_random_it_says_how_to_find_out():
    assert verdict(searched([], [0.5, 0.6]), GOALS) == (
        "No sample was random, so what chance finds is not known; compare=random tells."
    )


@pytest.mark.parametrize("trials", [[], searched([0.5, 0.6], []), searched([], [0.5])])
def test_without_anything_to_compare_it_says_nothing(trials):
    assert verdict(trials, GOALS) == ""


def test_fronts_are_compared_by_hypervolume():
    goals = Goals((Objective("a", "max"), Objective("b", "min")))
    random = trial(0, {"a": 0.0, "b": 2.0}, goals, random=True)
    others = [trial(n, {"a": 1.0, "b": b}, goals) for n, b in ((1, 3.0), (2, 1.0))]
    assert verdict([random, *others], goals) == (  # above (0, -3)
        "The hypervolume of the search is 2, that of 1 random sample 0; how much of that is "
        "noise is not known. The search tried 3; compare=random tries as many at random."
    )


def test_samples_of_chance_alone_are_seldom_said_to_be_better():
    """Of 200 searches in which all samples are equally good, few winners are beyond noise."""
    rng = draws.Random(0)
    wrong = 0
    for _ in range(200):
        values = [rng.gauss(0, 1) for _ in range(20)]
        trials = searched(values[:10], values[10:])
        best = max(trials, key=lambda t: t.scores[0]).number
        rival = max(trials[:10], key=lambda t: t.scores[0]).number
        for number in {best, rival}:
            trials += [again(number, 100 + number * 9 + i, rng.gauss(0, 1), "confirm")
                       for i in range(3)]  # fmt: skip
        wrong += "is better" in verdict(trials, GOALS)
    assert wrong <= 14  # 2.5 % of those in which they differ would be 2 or 3
