"""Decisions: the values of a choice, as indices and back."""

from math import prod

import pytest

from runner.space.choice import Categorical, Numeric, Subset
from runner.space.sample import generator
from runner.strategies.decisions import decode, encode, sizes

SMALL = [
    Categorical("c", ("a", None, [1, 2])),
    Categorical("one", ("a",)),
    Numeric("n", 1, 7, step=2),
    Numeric("same", 0.5, 0.5),
    Subset("pair", 4, 2),
    Subset("any", 7, None),
    Subset("many", 9, 4),
]


@pytest.mark.parametrize("choice", SMALL, ids=lambda choice: choice.label)
def test_every_value_is_the_result_of_its_decisions(choice):
    limits = sizes(choice, 4)
    for value in choice.values():
        decided = encode(choice, value, 4)
        assert all(0 <= i < size for i, size in zip(decided, limits, strict=True))
        assert decode(choice, decided, 4, generator(0)) == value


def test_decisions_have_few_alternatives():
    assert [sizes(choice, 4) for choice in SMALL] == [
        [3], [], [4], [], [6], [2] * 7, [9, 8, 7, 6]
    ]  # fmt: skip
    assert prod(sizes(Subset("pair", 4, 2), 4)) == 6


@pytest.mark.parametrize(
    "choice",
    [Numeric("x", -1.0, 1.0), Numeric("x", 1e-4, 1e-1, log=True), Numeric("x", 0, 93, step=3)],
)
def test_a_range_is_decided_by_bins(choice):
    assert sizes(choice, 4) == [4]
    for index in range(4):
        drawn = {decode(choice, [index], 4, generator(0, i)) for i in range(50)}
        assert len(drawn) > 5
        assert all(choice.check(value) == value for value in drawn)
        assert {encode(choice, value, 4)[0] for value in drawn} == {index}
