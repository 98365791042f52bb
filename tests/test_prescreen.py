"""The memory of a pre-screen: the correlation, its interval, and when the screen goes off."""

import random

import pytest
from scipy.stats import spearmanr

from runner.goals import Objective
from runner.prescreen import FIRST, Prescreen, interval, spearman
from runner.trial import State, Trial

ACCURACY = Objective("val/accuracy", "max")


def ended(number, proxy, score, changes):
    given = {"state": State.FINISHED, "scores": (score,), "proxy": proxy}
    return Trial(number, {}, 0, **given | changes)


def seen(pairs, objective=ACCURACY, **changes):
    """A screen that observed trials with these proxies and scores, and what it said."""
    screen, said = Prescreen("naswot", 8, objective), []
    for number, (proxy, score) in enumerate(pairs):
        said.append(screen.observe(Trial(number, {}, 0, proxy=proxy)))
        said.append(screen.observe(ended(number, proxy, score, changes)))
    return screen, [*filter(None, said)]


def ranked(rows):
    """The mean place of each number among all, by counting."""
    return [sum(other < x for other in rows) + (rows.count(x) - 1) / 2 for x in rows]


def test_the_correlation_is_that_of_ranks_ties_included():
    rng = random.Random(0)
    pairs = [(rng.randrange(6), rng.randrange(6)) for _ in range(30)]
    a, b = (ranked([*side]) for side in zip(*pairs, strict=True))
    mean = sum(a) / len(a)
    moments = [sum((x - mean) * (y - mean) for x, y in zip(one, other, strict=True))
               for one, other in ((a, b), (a, a), (b, b))]  # fmt: skip
    assert spearman(pairs) == pytest.approx(moments[0] / (moments[1] * moments[2]) ** 0.5)
    assert spearman(pairs) == spearmanr(*zip(*pairs, strict=True)).statistic
    assert spearman([(1, 2), (1, 3), (1, 4)]) == 0


def test_the_interval_is_published_and_covers():
    """0.62 over 24 pairs; and 95 of 100 intervals hold the truth."""
    low, high = interval(0.62, 24, 0.95)
    assert (round(low, 2), round(high, 2)) == (0.25, 0.83)
    assert all(-1 <= end <= 1 for end in interval(1.0, 4, 0.95))
    rng = random.Random(0)
    covered = 0
    for _ in range(300):
        pairs = []
        for _ in range(40):
            x = rng.gauss(0, 1)
            pairs.append((x, 0.6 * x + 0.8 * rng.gauss(0, 1)))
        low, high = interval(spearman(pairs), 40, 0.95)
        covered += low < 0.582 < high  # Spearman's, for Pearson's 0.6
    assert 0.92 < covered / 300 < 0.98


def test_a_good_proxy_goes_on_and_its_figures_are_told():
    screen, said = seen([(i, i + (i * 37) % 59) for i in range(70)])
    assert not said and screen.is_on
    assert screen.summary() == (
        "Spearman's rho of naswot with val/accuracy over 70 trials: 0.77 (95 % interval 0.64 to "
        "0.86)."
    )


def test_a_proxy_that_is_not_above_chance_goes_off_once_and_says_so():
    rng = random.Random(0)
    screen, said = seen([(rng.random(), rng.random()) for _ in range(40)])
    assert not screen.is_on and len(said) == 1
    assert said[0].startswith(
        "The screen is off from trial 32 on: over 32 trials, Spearman's rho of naswot with "
        "val/accuracy is "
    )
    assert "not above chance (with 80 % confidence, above -0." in said[0]
    assert screen.summary().endswith(" The screen was off from trial 32 on.")


def test_it_is_asked_after_32_64_128_trials_and_at_no_other_time():
    better = [(i, i) for i in range(FIRST)]
    worse = [(-i, i) for i in range(FIRST, 3 * FIRST)]
    for count in range(FIRST - 1, 2 * FIRST):
        assert seen([*better, *worse][:count])[0].is_on
    assert not seen([*better, *worse][: 2 * FIRST])[0].is_on
    assert not seen([(0.0, i) for i in range(FIRST)])[0].is_on, "one that tells nothing at all"


@pytest.mark.parametrize(
    "changes",
    [{"proxy": None}, {"duplicate_of": 0}, {"partial": True}, {"state": State.STOPPED},
     {"scores": ()}, {"state": State.FAILED, "scores": ()}],
    ids=str,
)  # fmt: skip
def test_what_has_no_result_of_its_own_to_compare_does_not_count(changes):
    screen, said = seen([(i, -i) for i in range(20)], **changes)
    assert screen.is_on and not said
    assert screen.summary() == (
        "Too few trials (0) finished with a score of naswot to tell whether it is of use."
    )


def test_what_breaks_a_constraint_counts_and_the_first_objective_does():
    screen, _ = seen([(i, i) for i in range(8)], violation=1.0)
    assert "over 8 trials: 1.00" in screen.summary()
    screen = Prescreen("naswot", 8, ACCURACY)
    for i in range(8):
        screen.observe(ended(i, i, 0, {"scores": (float(i), -float(i))}))
    assert "over 8 trials: 1.00" in screen.summary()


def test_an_objective_that_is_minimized_is_named_as_such():
    screen, _ = seen([(i, -i) for i in range(8)], Objective("val/loss", "min"))
    assert "of naswot with low val/loss over 8 trials: -1.00" in screen.summary()
