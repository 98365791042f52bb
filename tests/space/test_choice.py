"""Choices: what they accept, list, draw and mutate agree."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.errors import SampleError, SpaceError
from runner.space.choice import Categorical, Numeric, Subset, key, to_json
from runner.space.sample import generator

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5),
    st.floats(-5, 5, allow_nan=False),
    st.text(max_size=3),
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=2), inner, max_size=2)
    ),
    max_leaves=5,
)
CATEGORICAL = st.lists(JSON, min_size=1, max_size=6, unique_by=key).map(
    lambda candidates: Categorical("c", tuple(candidates))
)
WHOLE = st.builds(
    lambda low, width, step: Numeric("c", low, low + width, step=step),
    st.integers(-50, 50),
    st.integers(0, 60),
    st.integers(1, 9),
)
WHOLE_LOG = st.builds(
    lambda low, width: Numeric("c", low, low + width, step=1, log=True),
    st.integers(1, 50),
    st.integers(0, 60),
)
CONTINUOUS = st.builds(
    lambda low, width, log: Numeric("c", low, low + width, log=log),
    st.floats(0.001, 50),
    st.floats(0, 60),
    st.booleans(),
)
SUBSET = st.integers(1, 6).flatmap(
    lambda n: st.builds(Subset, st.just("c"), st.just(n), st.one_of(st.none(), st.integers(1, n)))
)
FINITE = st.one_of(CATEGORICAL, WHOLE, WHOLE_LOG, SUBSET)
CHOICES = st.one_of(FINITE, CONTINUOUS)
SEEDS = st.integers(0, 10**6)


@given(FINITE)
def test_there_are_as_many_values_as_the_size_says(choice):
    values = choice.values()
    assert len(values) == choice.size
    assert len({key(value) for value in values}) == choice.size
    assert [choice.place(value) for value in values] == list(range(choice.size))


@given(CHOICES, SEEDS)
def test_listed_drawn_and_default_values_are_accepted_as_they_are(choice, seed):
    rng = generator(seed)
    for value in (choice.default, choice.random(rng), *choice.values(resolution=4)):
        checked = choice.check(value)
        assert key(checked) == key(value)
        assert key(choice.check(checked)) == key(checked)


@given(FINITE, SEEDS)
def test_drawn_and_default_values_are_listed(choice, seed):
    listed = {key(value) for value in choice.values()}
    assert {key(choice.default), key(choice.random(generator(seed)))} <= listed


@given(CHOICES, SEEDS)
def test_a_mutation_is_another_value_where_there_is_one(choice, seed):
    rng = generator(seed)
    value = choice.check(choice.random(rng))
    other = choice.check(choice.mutate(value, rng))
    assert (key(other) == key(value)) == (choice.size == 1)


@given(FINITE, SEEDS)
def test_every_value_can_be_reached_by_mutations(choice, seed):
    if choice.size > 12:
        return
    rng = generator(seed)
    value, reached = choice.default, set()
    for _ in range(1000):
        reached.add(key(value))
        value = choice.mutate(value, rng)
    assert len(reached) == choice.size


@given(CONTINUOUS)
def test_points_of_a_range_go_from_end_to_end(choice):
    values = choice.values(resolution=5)
    assert (values[0], values[-1]) == (choice.low, choice.high)
    assert list(values) == sorted(set(values))


@pytest.mark.parametrize(
    ("choice", "values"),
    [
        (Categorical("c", (1, True, "a")), [1, True, "a"]),
        (Numeric("c", 2, 8, step=3), [2, 5, 8]),
        (Numeric("c", 2, 9, step=3), [2, 5, 8]),
        (Numeric("c", 4, 4, step=1), [4]),
        (Numeric("c", 0.5, 0.5), [0.5]),
        (Subset("c", 3, 2), [[0, 1], [0, 2], [1, 2]]),
        (Subset("c", 2, None), [[], [0], [1], [0, 1]]),
    ],
)
def test_values_in_order(choice, values):
    assert list(map(key, choice.values())) == list(map(key, values))


def test_values_as_nni_writes_them_are_taken_in_our_form():
    assert Subset("c", 3, 1).check(2) == [2] and Subset("c", 1, 1).check(0) == [0]
    assert Categorical("c", (0, 1, 2)).check("2") == 2
    assert Categorical("c", (64, 128)).check("128") == 128
    assert Categorical("c", ("0", 0)).check("0") == "0"


@pytest.mark.parametrize(
    ("choice", "value"),
    [
        (Categorical("c", (1, "1")), True),
        (Categorical("c", (1, "1")), 2),
        (Categorical("c", (1, "1")), object()),
        (Numeric("c", 2, 9, step=3), 9),
        (Numeric("c", 2, 9, step=3), "5"),
        (Numeric("c", 1, 9, step=1), 2.5),
        (Numeric("c", 0.0, 1.0), True),
        (Numeric("c", 0.0, 1.0), math.nan),
        (Numeric("c", 0.0, 1.0), 1.1),
        (Subset("c", 3, 2), [0]),
        (Subset("c", 3, 2), [0, 0]),
        (Subset("c", 3, None), [3]),
        (Subset("c", 3, None), [True]),
        (Subset("c", 3, 1), 3),
        (Subset("c", 3, 1), True),
        (Subset("c", 3, 2), 0),
        (Subset("c", 3, None), 0),
        (Categorical("c", (0, 1)), "2"),
        (Categorical("c", (0, 1)), "00"),
        (Categorical("c", (0, "a")), "0"),
        (Categorical("c", (0.0, 1.0)), "0"),
        (Categorical("c", (False, True)), "0"),
    ],
)
def test_other_values_are_refused(choice, value):
    with pytest.raises(SampleError, match=r"Choice 'c' was given .*; its candidates are"):
        choice.check(value)


def test_values_are_written_one_way():
    assert key(Numeric("c", 0.0, 2.0).check(1)) == "1"
    assert type(Numeric("c", 0.0, 2.0).check(1)) is float
    assert type(Numeric("c", 0, 2, step=1).check(1.0)) is int
    assert Subset("c", 4, 2).check([3, 1]) == [1, 3]
    assert type(Categorical("c", (1, 2)).check(1.0)) is int


def test_two_candidates_on_an_uneven_range_mutate_into_each_other():
    choice = Numeric("c", 1, 4, step=2)
    rng = generator(0)
    rng.gauss = lambda mean, deviation: 0.0  # so that no normal step leads away
    assert choice.mutate(1, rng) == 3
    assert choice.mutate(3, rng) == 1


def test_a_wide_range_is_not_listed_to_be_drawn_from():
    choice = Numeric("c", 0, 10**15, step=1)
    assert choice.size == 10**15 + 1
    assert choice.place(choice.check(10**14)) == 10**14


def test_a_range_of_two_floats_has_two_points():
    assert len(Numeric("c", 1.0, math.nextafter(1.0, 2.0)).values(resolution=9)) == 2


def test_log_scales_draw_evenly_over_the_orders_of_magnitude():
    for choice in (Numeric("c", 1e-4, 1e0, log=True), Numeric("c", 1, 10_000, step=1, log=True)):
        middle = math.sqrt(choice.low * choice.high)
        drawn = [choice.random(generator(i)) for i in range(1000)]
        assert 400 < sum(value < middle for value in drawn) < 600


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Categorical("c", ()), "has no candidates"),
        (lambda: Categorical("c", (1, 1.0)), "lists a candidate twice"),
        (lambda: Numeric("c", 2, 1), "low is above high"),
        (lambda: Numeric("c", 0, 1, log=True), "needs low > 0"),
        (lambda: Numeric("c", 0, math.inf), "must be finite"),
        (lambda: Numeric("c", 0, 4, step=0), "must be at least 1"),
        (lambda: Numeric("c", 1, 4, step=2, log=True), "requires step 1"),
        (lambda: Subset("c", 2, 3), "picks 3 of 2"),
        (lambda: Subset("c", 0, None), "of 0 inputs"),
        (lambda: Numeric("c", 0.0, 1.0).values(), r"give a resolution"),
        (lambda: to_json(object()), "plain JSON"),
        (lambda: to_json(math.nan), "plain JSON"),
        (lambda: to_json({1: 2}), "plain JSON"),
    ],
)
def test_choices_that_cannot_work_are_refused(make, message):
    with pytest.raises(SpaceError, match=message):
        make()


@given(JSON, JSON)
def test_keys_are_equal_for_equal_values_only(one, other):
    def typed(value):
        if isinstance(value, list):
            return [typed(item) for item in value]
        if isinstance(value, dict):
            return {k: typed(item) for k, item in value.items()}
        return isinstance(value, bool), value

    assert (key(one) == key(other)) == (typed(one) == typed(other))


def test_tuples_become_lists():
    assert to_json(((1, 2), {"a": (3,)})) == [[1, 2], {"a": [3]}]


def test_a_candidate_that_contains_itself_is_one_clear_line():
    ring = [1]
    ring.append(ring)
    with pytest.raises(SpaceError) as caught:
        to_json({"a": ring})
    assert "{'a': [1, [...]]} cannot be a candidate: it contains itself" in str(caught.value)
