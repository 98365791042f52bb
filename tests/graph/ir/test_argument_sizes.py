"""Numbers and tensors among arguments, and what may become of shapes."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from runner.graph.ir.argument_sizes import Change, kept_apart, leaves, put, shapes


def test_numbers_and_tensors_are_found_wherever_they_stand():
    x = torch.empty(2, 3)
    args, kwargs = [x, [1, (2, slice(None, 4))], True, "five"], {"size": 6, "other": None}
    assert shapes(leaves(args, kwargs)) == {
        (0,): torch.Size([2, 3]), (1, 0): 1, (1, 1, 0): 2, (1, 1, 1, 1): 4, ("size",): 6
    }  # fmt: skip


def test_others_are_put_in_their_place():
    args, kwargs = [[1, (2, slice(0, 4))], 3], {"size": 6}
    new = {(0, 1, 0): 20, (0, 1, 1, 1): 40, ("size",): 60}
    assert put(args, kwargs, new) == ([[1, (20, slice(0, 40))], 3], {"size": 60})
    assert args == [[1, (2, slice(0, 4))], 3]


NESTED = st.recursive(
    st.integers(0, 9) | st.none() | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.tuples(inner, inner),
)


@given(st.lists(NESTED, max_size=3), st.dictionaries(st.sampled_from("ab"), NESTED))
def test_what_was_found_can_be_put_back(args, kwargs):
    assert put(args, kwargs, leaves(args, kwargs)) == (args, kwargs)
    raised = {place: number + 1 for place, number in leaves(args, kwargs).items()}
    assert leaves(*put(args, kwargs, raised)) == raised


@pytest.mark.parametrize(
    ("old", "new", "size", "expected"),
    [(64, 32, 128, 64), (64, 96, 2, 3), (64, 32, 3, None), (6, 9, 4, 6)],
)
def test_another_size_changes_as_much(old, new, size, expected):
    assert Change(old, new).of(size) == expected


@pytest.mark.parametrize(
    ("took", "made", "took_now", "made_now", "fits"),
    [
        ((2, 64, 7, 7), (2, 3136), (2, 32, 7, 7), (2, 1568), True),
        ((98, 64), (2, 49, 64), (98, 32), (2, 49, 32), True),
        ((98, 64), (2, 49, 64), (98, 32), (1, 49, 64), False),
        ((2, 12, 64), (2, 12, 4, 16), (2, 12, 32), (2, 12, 4, 8), True),
        ((2, 12, 64), (2, 12, 4, 16), (2, 12, 32), (2, 12, 2, 16), True),
        ((2, 12, 64), (2, 12, 4, 16), (2, 12, 32), (2, 6, 4, 16), False),
    ],
)
def test_only_dimensions_made_of_those_that_changed_may_change(
    took, made, took_now, made_now, fits
):
    tensors = [torch.empty(shape, device="meta") for shape in (took, made, took_now, made_now)]
    assert kept_apart((tensors[0], tensors[1]), (tensors[2], tensors[3])) == fits


def test_as_many_tensors_are_wanted_as_before():
    x, half = torch.empty(2, 8), torch.empty(2, 4)
    assert not kept_apart((x, [half, half]), (x, [half, half, half]))
