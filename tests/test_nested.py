"""Nested containers are walked in one order, and rebuilt as what they were."""

import operator
from collections import OrderedDict
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from runner.errors import GraphError
from runner.nested import alike, leaves, places, rebuild, replace_at


class Pair(NamedTuple):
    one: Any
    other: Any


THINGS = [
    (7, [7]),
    ((), []),
    ((1, [2, (3,)]), [1, 2, 3]),
    ({"a": 1, 2: [3]}, ["a", 1, 2, 3]),
    (slice(1, None, (2,)), [1, None, 2]),
]


@pytest.mark.parametrize(("thing", "expected"), THINGS)
def test_leaves_are_in_the_order_they_are_written(thing, expected):
    assert leaves(thing) == leaves(thing, subclasses=True) == expected


@pytest.mark.parametrize(
    "thing", [Pair(1, [2]), torch.Size([1, 2]), torch.return_types.max([1, 2]), OrderedDict(a=2)]
)
def test_an_object_of_a_subclass_is_a_leaf_unless_asked_for(thing):
    assert leaves([thing]) == [thing]
    assert rebuild([thing], id) == [id(thing)]
    assert len(leaves([thing], subclasses=True)) == 2
    again = rebuild(thing, lambda leaf: leaf, subclasses=True)
    assert again == thing
    assert type(again) is (dict if isinstance(thing, dict) else type(thing))


def test_keys_of_dicts_are_changed_too():
    assert rebuild({1: (2,), (3,): 4}, lambda n: n * 10) == {10: (20,), (30,): 40}


def test_containers_are_alike_when_each_pair_of_leaves_is():
    def same(one, other):
        return one == other

    assert alike(([1], {"a": slice(2)}), ([1], {"a": slice(2)}), same)
    for other in ([1, 2], (1, 3), (1,), (1, 2, 3), {0: 1}, 1):
        assert not alike((1, 2), other, same)
    assert not alike({1: 2, 3: 4}, {3: 4, 1: 2}, same)


def test_a_place_is_reached_by_indices_and_keys():
    thing = ([1, 2], {"a": slice(3, 4)}, Pair(5, 6))
    paths = [path for path, leaf in places(thing) if leaf is not None]
    assert paths == [(0, 0), (0, 1), (1, "a", 0), (1, "a", 1), (2, 0), (2, 1)]
    changed = replace_at(thing, {(0,): 0, (1, "a", 1): 40, (2, 0): 50})
    assert changed == (0, {"a": slice(3, 40)}, Pair(50, 6))
    assert changed[2] != thing[2] and type(changed[2]) is Pair
    assert replace_at(thing, {}) is thing


def nested(inner):
    keys = st.integers() | st.text()
    return (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(keys, inner, max_size=3)
        | st.builds(slice, inner, inner, inner)
        | st.builds(Pair, inner, inner)
    )


NESTED = st.recursive(st.integers() | st.none() | st.text(), nested, max_leaves=12)


@given(NESTED, st.booleans())
def test_a_rebuild_meets_the_leaves_in_order_and_keeps_what_is_not_changed(thing, subclasses):
    met = []

    def keep(leaf):
        met.append(leaf)
        return leaf

    again = rebuild(thing, keep, subclasses=subclasses)
    assert again == thing and type(again) is type(thing)
    assert met == leaves(thing, subclasses=subclasses)
    assert alike(again, thing, lambda one, other: one == other)


@given(NESTED)
def test_putting_each_leaf_where_it_was_found_changes_nothing(thing):
    found = dict(places(thing))
    assert replace_at(thing, found) == thing
    doubled = {path: [leaf] for path, leaf in found.items()}
    assert dict(places(replace_at(thing, doubled))) == {(*p, 0): v for p, v in found.items()}


def ring(kind):
    inner = [1]
    made = {"list": [inner], "dict": {"a": inner}, "tuple": (2, inner), "slice": slice(inner, 2)}
    inner.append(made[kind])
    return made[kind]


@pytest.mark.parametrize("kind", ["list", "dict", "tuple", "slice"])
@pytest.mark.parametrize("walk", [
    leaves, lambda x: rebuild(x, str), lambda x: [*places(x)], lambda x: alike(x, ring(kind_of(x)),
                                                                               operator.eq),
], ids=["leaves", "rebuild", "places", "alike"])  # fmt: skip
def test_what_contains_itself_is_one_clear_line(walk, kind):
    with pytest.raises(GraphError) as caught:
        walk(ring(kind))
    text = str(caught.value)
    assert "contains itself" in text and "engine=py" in text and "\n" not in text


def kind_of(thing):
    return type(thing).__name__


def test_what_is_nested_too_deeply_says_so():
    deep = []
    for _ in range(10_000):
        deep = [deep]
    with pytest.raises(GraphError, match="is nested too deeply"):
        leaves(deep)
