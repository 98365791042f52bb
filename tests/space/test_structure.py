"""Structure: conditions and counts, without listing the samples."""

import math
from itertools import islice

import pytest
from functions import FunctionSpace, ask_tree, trees
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runner.space.choice import Categorical, Numeric, Subset
from runner.space.space import FlatSpace
from runner.space.structure import describe


def pick(label, *candidates):
    return Categorical(label, candidates)


def conditions(structure):
    return {part.choice.label: dict(part.condition) for part in structure.parts}


def test_independent_choices_multiply():
    structure = describe(FlatSpace([pick(f"c{i}", *range(10)) for i in range(14)]))
    assert (structure.count, structure.exact) == (10**14, True)
    assert conditions(structure) == {f"c{i}": {} for i in range(14)}


def test_a_depth_decides_about_the_blocks_behind_it():
    def function(ask):
        ask(pick("width", 16, 32))
        for i in range(ask(Numeric("depth", 1, 3, step=1))):
            ask(pick(f"op{i}", "a", "b"))

    structure = describe(FunctionSpace(function))
    assert structure.count == 2 * (2 + 4 + 8)
    assert conditions(structure) == {
        "width": {},
        "depth": {},
        "op0": {},
        "op1": {"depth": (2, 3)},
        "op2": {"depth": (3,)},
    }
    assert [part.choice.label for part in structure.parts] == [
        "width", "depth", "op0", "op1", "op2"
    ]  # fmt: skip


def test_conditions_nest():
    def function(ask):
        if ask(pick("a", 0, 1)) and ask(pick("b", 0, 1, 2)) == 2:
            ask(pick("c", 0, 1))

    structure = describe(FunctionSpace(function))
    assert structure.count == 1 + 2 + 2
    assert conditions(structure) == {"a": {}, "b": {"a": (1,)}, "c": {"a": (1,), "b": (2,)}}


def test_choices_that_decide_together_are_varied_together():
    def function(ask):
        a, b = ask(pick("a", 0, 1)), ask(pick("b", 0, 1))
        if a or b:
            ask(pick("c", 1, 2, 3))
        for i in range(8):
            ask(pick(f"free{i}", 0, 1, 2, 3))

    structure = describe(FunctionSpace(function))
    assert (structure.count, structure.exact) == ((1 + 3 + 3 + 3) * 4**8, True)


def test_other_candidates_are_another_part():
    def function(ask):
        wide = ask(pick("wide", False, True))
        ask(pick("width", 64, 128, 256) if wide else pick("width", 16, 32))

    structure = describe(FunctionSpace(function))
    assert structure.count == 5
    assert [(str(p.choice), dict(p.condition)) for p in structure.parts[1:]] == [
        ("16, 32", {"wide": (False,)}),
        ("64, 128, 256", {"wide": (True,)}),
    ]


def test_a_huge_conditional_space_takes_about_as_many_walks_as_there_are_values():
    def function(ask):
        for s in range(4):
            for i in range(ask(Numeric(f"{s}/depth", 1, 8, step=1))):
                if ask(pick(f"{s}/op{i}", "conv", "mb", "pool")) == "mb":
                    ask(pick(f"{s}/ratio{i}", 3, 4, 6))

    space = FunctionSpace(function)
    structure = describe(space)
    values = 4 * (8 + 8 * 3 + 8 * 3)
    assert structure.exact
    assert structure.count == sum(5**depth for depth in range(1, 9)) ** 4
    assert space.walks < 1.5 * values


def test_a_long_chain_of_conditions_is_counted_at_once():
    def function(ask, i=0):
        if i < 40 and ask(pick(f"c{i}", *range(5))):
            function(ask, i + 1)

    assert FunctionSpace(function).count() == sum(4**i for i in range(40)) + 4**40


def test_what_is_not_found_by_varying_one_at_a_time_is_listed_where_that_is_short():
    def function(ask):
        a, b = ask(pick("a", 0, 1)), ask(pick("b", 0, 1))
        if a and b:
            ask(pick("c", 1, 2, 3))

    structure = describe(FunctionSpace(function))
    assert (structure.count, structure.exact) == (6, True)


def test_what_cannot_be_found_or_listed_is_estimated():
    def function(ask):
        a, b = ask(pick("a", 0, 1)), ask(pick("b", 0, 1))
        if a and b:
            ask(pick("c", 1, 2, 3))
        for i in range(7):
            ask(pick(f"free{i}", 0, 1, 2, 3))

    structure = describe(FunctionSpace(function))
    assert not structure.exact
    assert structure.count == pytest.approx(6 * 4**7, rel=0.2)


def test_a_continuous_choice_makes_it_infinite():
    def function(ask):
        if ask(pick("schedule", "none", "decay")) == "decay":
            ask(Numeric("rate", 0.0, 1.0))

    structure = describe(FunctionSpace(function))
    assert (structure.count, structure.exact) == (math.inf, True)
    assert conditions(structure)["rate"] == {"schedule": ("decay",)}


def test_wide_choices_are_not_listed():
    choices = [Numeric("n", 0, 10**12, step=1), Subset("s", 40, None), Subset("k", 30, 15)]
    assert FlatSpace(choices).count() == (10**12 + 1) * 2**40 * math.comb(30, 15)


def test_a_space_without_choices_has_one_sample():
    structure = describe(FlatSpace([]))
    assert (list(structure.parts), structure.count, structure.exact) == ([], 1, True)


def test_samples_whose_code_raises_are_counted_as_they_are_listed():
    def function(ask):
        by = ask(pick("by", 2, 0, 1))
        ask(pick("half", 4 // by, 7))

    space = FunctionSpace(function)
    assert space.count() == len(list(space.enumerate())) == 5


TREES = trees(max_leaves=12)


def count_tree(tree):
    return math.prod(sum(map(count_tree, branches)) for branches in tree)


@given(TREES)
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_nested_spaces_are_counted_without_being_listed(tree):
    wide = [*tree, [[]] * 11, [[]] * 13, [[]] * 17]  # too many samples to be listed
    structure = describe(FunctionSpace(lambda ask: ask_tree(ask, wide)))
    assert (structure.count, structure.exact) == (count_tree(wide), True)


# A rule of a tangled space asks one more choice when some earlier ones have given values.
RULES = st.lists(
    st.tuples(
        st.integers(1, 3),  # how many values
        st.dictionaries(st.integers(0, 6), st.integers(0, 2), max_size=2),  # choice -> value
        st.booleans(),  # whether all of these are wanted, or any
    ),
    max_size=7,
)


def ask_rules(ask, rules):
    answers = {}
    for i, (size, wanted, every) in enumerate(rules):
        met = [answers.get(j, 0) == value for j, value in wanted.items() if j < i]
        if not met or (all(met) if every else any(met)):
            answers[i] = ask(Categorical(f"c{i}", tuple(range(size))))


@given(RULES)
@settings(deadline=None)
def test_tangled_spaces_are_counted_as_they_are_listed(rules):
    space = FunctionSpace(lambda ask: ask_rules(ask, rules))
    structure = describe(space)
    listed = list(islice(space.enumerate(), 2001))
    assert structure.exact
    assert structure.count == len(listed)
    for part in structure.parts:
        for sample in listed:
            if part.choice.label in sample:
                for label, values in part.condition.items():
                    assert sample.get(label) in values or label not in sample


class SlowSpace(FunctionSpace):
    """A space each walk of which stands for the build of a model."""

    @property
    def slow(self):
        return True


def test_independent_choices_of_models_are_counted_from_few_builds():
    def function(ask):
        for i in range(21):
            ask(pick(f"block{i}", *range(7)))

    space = SlowSpace(function)
    structure = describe(space)
    assert (structure.count, structure.exact) == (7**21, True)
    assert space.walks <= 1 + 6 + 24


@pytest.mark.parametrize("size", [2, 3, 5])
def test_a_choice_that_depends_on_two_equal_ones_is_found_although_all_are_varied(size):
    def function(ask):
        found = [ask(pick(f"c{i}", *range(size))) for i in range(12)]
        if found[3] == found[7]:
            ask(pick("more", 0, 1, 2))

    structure = describe(SlowSpace(function))
    assert (structure.count, structure.exact) == (size**11 * (3 + size - 1), True)


def test_one_switch_among_many_choices_is_found_by_halves():
    def function(ask):
        found = [ask(pick(f"c{i}", *range(5))) for i in range(64)]
        if found[40] == 3:
            ask(pick("more", 0, 1, 2))

    space = FunctionSpace(function)
    structure = describe(space)
    assert (structure.count, structure.exact) == (5**63 * (4 + 3), True)
    assert conditions(structure)["more"] == {"c40": (3,)}
    assert space.walks < 64 + 64 * 4 / 2
