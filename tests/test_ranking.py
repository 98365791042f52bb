"""Rankings: fronts, spread, hypervolume, and the order of trials."""

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.ranking import (
    dominates,
    front,
    fronts,
    hypervolume,
    pillars,
    spread,
    top,
    undominated,
    winners,
)
from runner.trial import State, Trial

POINTS = st.integers(1, 3).flatmap(
    lambda axes: st.lists(st.tuples(*[st.integers(0, 5)] * axes), min_size=1, max_size=12)
)


def trial(number, *scores, violation=0.0, **changes) -> Trial:
    state = State.FINISHED if scores else State.FAILED
    return Trial(number, {}, 0, state, scores=scores, violation=violation, **changes)


@given(POINTS)
def test_a_front_is_what_only_earlier_fronts_dominate(points):
    found = fronts(points)
    assert sorted(itertools.chain(*found)) == [*range(len(points))]
    for place, members in enumerate(found):
        later = [*itertools.chain(*found[place:])]
        assert not any(dominates(points[i], points[j]) for i in later for j in members)
        if place:
            before = found[place - 1]
            assert all(any(dominates(points[i], points[j]) for i in before) for j in members)


@given(POINTS)
def test_the_undominated_points_are_the_first_front(points):
    assert undominated(points) == fronts(points)[0]
    assert undominated([]) == []


@given(POINTS, st.integers(1, 12))
def test_a_spread_holds_the_ends_of_each_objective(points, k):
    members = [points[i] for i in fronts(points)[0]]
    chosen = spread(members, k)
    assert len(chosen) == len({*chosen}) == min(k, len(members))
    if k >= len(points[0]):
        for axis in range(len(points[0])):
            assert max(p[axis] for p in members) == max(members[i][axis] for i in chosen)


def test_a_spread_of_equal_points_holds_each_once():
    assert sorted(spread([(0.5, 0.5)] * 4, 3)) == [0, 1, 2]
    tied = [trial(i, 0.5, 0.5) for i in range(4)]
    assert [t.number for t in top(tied, 3)] == [0, 1, 2]


def test_a_spread_covers_a_line():
    line = [(i / 100, 1 - i / 100) for i in range(101)]
    assert sorted(spread(line, 5)) == [0, 25, 50, 75, 100]


@given(POINTS)
def test_a_hypervolume_is_the_count_of_the_cells_below_points(points):
    axes = len(points[0])
    cells = itertools.product(range(6), repeat=axes)
    count = sum(any(all(c < x for c, x in zip(cell, p, strict=True)) for p in points)
                for cell in cells)  # fmt: skip
    assert hypervolume(points, [0] * axes) == count


def test_a_hypervolume_counts_nothing_below_its_reference():
    assert hypervolume([(1.0, 1.0), (3.0, -1.0)], (0.0, 0.0)) == 1.0
    assert hypervolume([(0.0, 5.0)], (0.0, 0.0)) == 0.0
    assert hypervolume([], (0.0, 0.0)) == 0.0


def test_one_objective_ranks_by_score_then_number_and_what_breaks_constraints_comes_last():
    trials = [trial(0, 0.5), trial(1, 0.9, violation=0.5), trial(2, 0.7), trial(3, 0.7), trial(4),
              trial(5, 0.99, violation=0.1), trial(6, 1.0, duplicate_of=2)]  # fmt: skip
    assert [t.number for t in top(trials, 9)] == [2, 3, 0, 5, 1]
    assert [t.number for t in top(trials, 2)] == [2, 3]
    assert [t.number for t in front(trials)] == [2, 3]


def test_several_objectives_rank_the_front_first_and_spread_it():
    line = [trial(i, i / 10, 1 - i / 10) for i in range(11)]
    bad = [trial(11, 0.2, 0.2), trial(12, 0.9, 0.9, violation=1.0)]
    trials = [*line, *bad]
    random.Random(0).shuffle(trials)
    assert [t.number for t in front(trials)] == [*range(10, -1, -1)]
    assert [t.number for t in top(trials, 3)] == [10, 5, 0]
    assert [t.number for t in top(trials, 13)][11:] == [11, 12]


@pytest.mark.parametrize("k", [1, 2, 5])
def test_what_is_dropped_early_would_not_return(k):
    """Trials are ranked as they end, and only the front and the best ones are kept."""
    rng = random.Random(k)
    trials = [trial(i, rng.random(), rng.random()) for i in range(60)]
    kept: list[Trial] = []
    for one in trials:
        known = [*kept, one]
        kept = [*{t.number: t for t in (*top(known, k), *front(known))}.values()]
    assert front(kept) == front(trials)


def test_the_winners_of_a_tournament_keep_the_constraints_or_break_them_least():
    assert winners([trial(0, 1.0), trial(1, 2.0), trial(2, 3.0, violation=1.0)])[0].number == 1
    assert winners([trial(0, 1.0, violation=2.0), trial(1, 0.0, violation=1.0)])[0].number == 1
    tied = winners([trial(0, 1.0, 0.0), trial(1, 0.0, 1.0), trial(2, 0.0, 0.0)])
    assert [t.number for t in tied] == [0, 1]


def test_the_best_of_the_search_and_of_chance_are_what_is_compared():
    found = pillars([trial(0, 0.5, random=True), trial(1, 0.9), trial(2, 0.7, random=True),
                     trial(3, 1.0, stage="baseline", random=True)])  # fmt: skip
    assert [one.number for one in found] == [1, 3]
    assert pillars([]) == []


def test_confirmed_samples_come_first_and_rank_by_their_new_results():
    def again(number, repeat_of, score):
        return trial(number, score, repeat_of=repeat_of, stage="confirm")

    trials = [trial(0, 0.9), trial(1, 0.8), trial(2, 0.7), again(3, 0, 0.5), again(4, 1, 0.6)]
    assert [one.number for one in top(trials, 9)] == [1, 0, 2]
    failed = [*trials, trial(5, repeat_of=1, stage="confirm")]
    assert [one.number for one in top(failed, 9)] == [0, 2]
