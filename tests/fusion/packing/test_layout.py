"""Values change from one layout to another and back, and the source says so in few lines."""

import math
from itertools import pairwise, product

import pytest
import torch

from runner.fusion.packing.layout import Layout, joined, parts, spread
from runner.fusion.program.codegen import Emitter
from runner.fusion.program.program import BatchSize, Var
from runner.graph.ir.argument import Ref

PACKED = [Layout.CHANNELS, Layout.STACKED, Layout.FOLDED]
SHAPES = [(3, 4), (3, 4, 5), (3, 4, 5, 2), (3, 4, 5, 2, 2)]
K = 3
EACH = pytest.mark.parametrize(("layout", "shape"), [*product(PACKED, SHAPES)])
CHANGES = pytest.mark.parametrize(("first", "second"), [*product(PACKED, PACKED)])


def values(shape, size=K):
    rng = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=rng) for _ in range(size)]


def run(emitter, result, **given):
    """What the lines of an emitter give."""
    scope = {**emitter.names, **given}
    exec("\n".join(emitter.lines), scope)
    return eval(result, scope)


def members(size=K, number=1):
    return [(i, Var(number)) for i in range(size)]


@EACH
def test_parts_are_what_was_joined(layout, shape):
    own = values(shape)
    for ours, theirs in zip(parts(joined(own, layout), [1] * K, layout), own, strict=True):
        assert torch.equal(ours, joined([theirs], layout))
    one, other = parts(joined(own, layout), [2, 1], layout)
    assert torch.equal(one, joined(own[:2], layout))
    assert torch.equal(other, joined(own[2:], layout))


@EACH
def test_a_spread_value_is_the_value_of_each(layout, shape):
    x = values(shape)[0]
    assert torch.equal(spread(x, K, layout), joined([x] * K, layout))


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("shape", SHAPES)
@CHANGES
def test_a_value_is_fetched_in_any_layout(first, second, shape, size):
    own, emitter = values(shape, size), Emitter()
    emitter.put(members(size), "x", first)
    result = emitter.fetch(members(size), second)
    assert torch.equal(run(emitter, result, x=joined(own, first)), joined(own, second))
    assert len(emitter.lines) <= 2
    assert not emitter.copies


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("layout", PACKED)
def test_the_value_of_one_model_is_plain(layout, size):
    own, emitter = values((3, 4, 5), size), Emitter()
    emitter.put(members(size), "x", layout)
    for member, expected in zip(members(size), own, strict=True):
        assert torch.equal(run(emitter, emitter.plain(member), x=joined(own, layout)), expected)
    assert sum("parts(" in line for line in emitter.lines) == (size > 1)


@CHANGES
def test_some_values_in_another_order(first, second):
    own, emitter = values((3, 4, 5)), Emitter()
    emitter.put(members(), "x", first)
    some = [(2, Var(1)), (0, Var(1))]
    result = emitter.fetch(some, second)
    assert emitter.copies == 1
    expected = joined([own[2], own[0]], second)
    assert torch.equal(run(emitter, result, x=joined(own, first)), expected)
    before = [*emitter.lines]
    assert emitter.fetch(some, second) == result
    assert emitter.lines == before
    assert emitter.copies == 1


def test_values_of_several_tensors_come_together():
    own, emitter = values((3, 4)), Emitter()
    emitter.put([(0, Var(1)), (1, Var(1))], "x", Layout.STACKED)
    emitter.put([(2, Var(7))], "y", Layout.FOLDED)
    result = emitter.fetch([(0, Var(1)), (1, Var(1)), (2, Var(7))], Layout.CHANNELS)
    given = {"x": torch.stack(own[:2]), "y": own[2]}
    assert torch.equal(run(emitter, result, **given), torch.cat(own, 1))


@pytest.mark.parametrize("layout", PACKED)
def test_a_shared_value_is_one(layout):
    emitter, x = Emitter(), values((3, 4))[0]
    emitter.put(members(), "x", Layout.SHARED)
    assert emitter.shared(members()) == "x"
    assert not emitter.whole(members())
    assert emitter.plain((1, Var(1))) == "x"
    result = emitter.fetch(members(), layout)
    assert torch.equal(run(emitter, result, x=x), joined([x] * K, layout))


def test_models_that_share_and_models_that_do_not():
    emitter, own = Emitter(), values((3, 4))
    emitter.put(members(2), "x", Layout.SHARED)
    emitter.put([(2, Var(1))], "y", Layout.FOLDED)
    assert emitter.shared(members()) is None
    result = emitter.fetch(members(), Layout.STACKED)
    given = {"x": own[0], "y": own[1]}
    assert torch.equal(run(emitter, result, **given), torch.stack([own[0], own[0], own[1]]))


def test_only_all_of_a_tensor_in_order_is_the_whole_of_it():
    emitter = Emitter()
    emitter.put(members(), "x", Layout.STACKED)
    assert emitter.whole(members())
    assert not emitter.whole(members(2))
    assert not emitter.whole([*reversed(members())])


def test_one_thing_has_one_name():
    emitter, thing = Emitter(), object()
    assert emitter.bind(thing) == emitter.bind(thing)
    assert emitter.bind(object()) != emitter.bind(thing)
    assert emitter.bind(None) == "None"


def test_lines_have_names_of_their_own():
    emitter = Emitter()
    found = [emitter.line("f()") for _ in range(3)]
    assert len({*found}) == 3
    assert emitter.once("g()") == emitter.once("g()")
    assert all(one != other for one, other in pairwise(emitter.lines))


def test_the_source_of_a_call_has_all_arguments():
    emitter = Emitter()
    args = (Var(3), [1, (Var(4), None)], slice(0, BatchSize(2)), math.inf, "a'b", ...)
    text = emitter.call("f", args, {"dtype": Ref("torch:float64")}, lambda v: f"v{v.number}", 5)
    found = run(emitter, text, f=lambda *given, **named: (given, named), v3="three", v4="four", n=7)
    given = ("three", [1, ("four", None)], slice(0, 70), math.inf, "a'b", ...)
    assert found == (given, {"dtype": torch.float64})
