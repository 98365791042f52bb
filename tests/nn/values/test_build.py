"""The ambient build: labels, samples that do not fit, and nested model spaces."""

import threading
from functools import partial
from random import Random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from runner import nn
from runner.errors import SampleError, SpaceError


def drawn(factory, choose=lambda choice: choice.default):
    with nn.draw(choose) as sample:
        factory()
    return dict(sample)


# Labels


@nn.model_wrapper
class Plain(nn.Module):
    """Two numbered choices and a given one."""

    def __init__(self):
        super().__init__()
        self.a = nn.ValueChoice([1, 2])
        self.b = nn.ValueChoice([3, 4], label="b")
        self.c = nn.LayerChoice([nn.ReLU, nn.Tanh])


def test_given_labels_are_absolute_and_others_numbered_below_the_class():
    assert list(drawn(Plain)) == ["Plain/1", "b", "Plain/2"]


def test_building_twice_gives_the_same_labels():
    assert drawn(Plain) == drawn(Plain)
    assert (Plain().a, Plain().b) == (1, 3)


def test_label_scopes_hold_given_and_numbered_labels():
    @nn.model_wrapper
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            for i in range(2):
                with nn.label_scope(f"stage{i}"):
                    nn.ValueChoice([1], label="width")
                    nn.ValueChoice([1])
                    with nn.label_scope("deep"):
                        nn.ValueChoice([1])
                        nn.ValueChoice([1], label="kernel")
            nn.ValueChoice([1])

    assert list(drawn(Net)) == [
        "stage0/width", "Net/stage0/1", "Net/stage0/deep/1", "stage0/deep/kernel",
        "stage1/width", "Net/stage1/1", "Net/stage1/deep/1", "stage1/deep/kernel",
        "Net/1",
    ]  # fmt: skip


def test_without_a_model_space_choices_are_numbered():
    assert list(drawn(lambda: [nn.ValueChoice([1]), nn.ValueChoice([1])])) == ["1", "2"]


def test_two_blocks_of_an_undecorated_class_number_their_choices_apart():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.kernel = nn.ValueChoice([3, 5])

    @nn.model_wrapper
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.blocks = nn.Sequential(Block(), Block())

    assert list(drawn(Net)) == ["Net/1", "Net/2"]


def test_inherited_model_spaces_are_one_scope():
    class Child(Plain):
        def __init__(self):
            super().__init__()
            self.d = nn.ValueChoice([5, 6])

    @nn.model_wrapper
    class Wrapped(Plain):
        def __init__(self):
            self.early = nn.ValueChoice([0, 1])
            super(Wrapped, self).__init__()  # noqa: UP008
            self.late = nn.ValueChoice([5, 6])

    assert list(drawn(Child)) == ["Plain/1", "b", "Plain/2", "1"]
    assert list(drawn(Wrapped)) == ["Wrapped/1", "Wrapped/2", "b", "Wrapped/3", "Wrapped/4"]


def test_old_style_super_works():
    @nn.model_wrapper
    class Net(nn.Module):
        def __init__(self, width):
            super(Net, self).__init__()  # noqa: UP008
            self.layer = nn.Linear(width, nn.ValueChoice([2, 3]))

    with nn.sample({"Net/1": 3}, strict=True):
        assert Net(4).layer.weight.shape == (3, 4)


def test_nested_model_spaces_stand_below_each_other():
    @nn.model_wrapper
    class Outer(nn.Module):
        def __init__(self):
            super().__init__()
            self.width = nn.ValueChoice([1, 2])
            self.first = Plain()
            with nn.label_scope("second"):
                self.second = Plain()
            self.depth = nn.ValueChoice([1, 2])

    assert list(drawn(Outer)) == [
        "Outer/1", "Outer/Plain/1", "b", "Outer/Plain/2",
        "Outer/second/Plain/1", "second/b", "Outer/second/Plain/2", "Outer/2",
    ]  # fmt: skip


def test_a_wrapped_class_stays_the_class_it_was():
    assert Plain.__name__ == "Plain"
    assert Plain.__doc__ == "Two numbered choices and a given one."
    assert isinstance(Plain(), Plain)
    assert Plain.__init__.__wrapped__


def test_choices_made_in_forward_belong_to_no_space():
    with nn.draw(lambda choice: choice.candidates[1]):
        model = Plain()
    assert model.a == 2
    assert nn.ValueChoice([1, 2]) == 1, "the context is closed"


# Samples


def test_missing_labels_are_named_with_those_that_are_near():
    with nn.sample({"stage1/widht": 8}), pytest.raises(SampleError) as error:
        nn.ValueChoice([8, 16], label="stage1/width")
    assert str(error.value) == (
        "The sample has no value for 'stage1/width' (8, 16). Did you mean 'stage1/widht'?"
    )


def test_strict_refuses_labels_nobody_asks_for():
    values = {"Plain/1": 1, "b": 3, "Plain/2": 0, "Plain/3": 0}
    with nn.sample(values):
        Plain()
    with pytest.raises(SampleError) as error, nn.sample(values, strict=True):
        Plain()
    assert str(error.value).startswith(
        "The sample has the label 'Plain/3', which no choice of this model asks for. Did you mean"
    )


def test_strict_does_not_hide_what_goes_wrong_inside():
    with pytest.raises(ZeroDivisionError), nn.sample({"unknown": 1}, strict=True):
        _ = 1 / 0


def test_sample_gives_the_part_that_was_asked_for():
    with nn.sample({"width": 2, "more": 3}) as asked:
        nn.ValueChoice([1, 2], label="width")
    assert asked == {"width": 2}


def test_a_label_is_asked_once():
    questions = []

    def choose(choice):
        questions.append(choice.label)
        return choice.default

    drawn(lambda: [nn.ValueChoice([1, 2], label="same") for _ in range(3)], choose)
    assert questions == ["same"]


def test_answers_are_checked():
    with pytest.raises(SampleError, match="'width' was given 5"):
        drawn(lambda: nn.ValueChoice([1, 2], label="width"), lambda choice: 5)


def test_one_label_for_two_kinds_of_choices_is_refused():
    def clash():
        nn.ValueChoice([0, 1], label="x")
        nn.InputChoice(2, label="x")

    with pytest.raises(SpaceError, match="'x' is used by two choices: 0, 1; and 1 of the indices"):
        drawn(clash)


def test_contexts_nest_and_close_after_errors():
    with nn.sample({"x": 2}):
        with pytest.raises(RuntimeError), nn.sample({"x": 3}):
            assert nn.ValueChoice([1, 2, 3], label="x") == 3
            raise RuntimeError
        assert nn.ValueChoice([1, 2, 3], label="x") == 2
    assert nn.ValueChoice([1, 2, 3], label="x") == 1


def test_threads_do_not_share_a_context():
    values = []
    with nn.sample({"x": 2}):
        thread = threading.Thread(target=lambda: values.append(nn.ValueChoice([1, 2], label="x")))
        thread.start()
        thread.join()
    assert values == [1]


def test_basic_units_are_not_inherited():
    @nn.basic_unit
    class Unit(nn.Module):
        pass

    class Child(Unit):
        pass

    assert nn.is_basic_unit(Unit)
    assert not nn.is_basic_unit(Child)
    assert not nn.is_basic_unit(nn.Linear)


def test_nn_is_torch_nn_with_the_primitives():
    assert nn.Linear is torch.nn.Linear
    assert nn.functional is torch.nn.functional
    assert nn.init is torch.nn.init
    with pytest.raises(AttributeError, match="NoSuchLayer"):
        _ = nn.NoSuchLayer


# Properties over random nested spaces

LEAF = st.tuples(st.just("value"), st.lists(st.integers(), min_size=1, max_size=4, unique=True))


def _branches(inner):
    some = st.lists(inner, min_size=1, max_size=3)
    return st.one_of(
        st.tuples(st.just("layer"), some),
        st.tuples(st.just("inputs"), st.integers(1, 4)),
        st.tuples(st.just("repeat"), inner, st.integers(0, 3)),
        st.tuples(st.just("scope"), st.text(max_size=3), some),
    )


def build(plan):
    """A module for a random plan of nested choices."""
    match plan:
        case ("value", candidates):
            return nn.Threshold(0.0, nn.ValueChoice(candidates))
        case ("layer", plans):
            return nn.LayerChoice([partial(build, inner) for inner in plans])
        case ("inputs", count):
            return nn.InputChoice(count, None)
        case ("repeat", inner, most):
            return nn.Repeat(lambda index: build(inner), (0, most))
        case ("scope", name, plans):
            with nn.label_scope(name):
                return nn.Sequential(*map(build, plans))


PLAN = st.recursive(LEAF, _branches, max_leaves=8)


@settings(deadline=None, max_examples=200)
@given(plan=PLAN, seed=st.integers(0, 2**32))
def test_a_drawn_sample_builds_the_same_model(plan, seed):
    rng = Random(seed)
    with nn.draw(lambda choice: choice.random(rng)) as sample:
        model = build(plan)
    with nn.sample(sample, strict=True) as asked:
        again = build(plan)
    assert list(asked.items()) == list(sample.items())
    assert str(again) == str(model)


@settings(deadline=None, max_examples=200)
@given(plan=PLAN, seed=st.integers(0, 2**32))
def test_any_missing_label_or_unknown_value_is_named(plan, seed):
    rng = Random(seed)
    with nn.draw(lambda choice: choice.random(rng)) as sample:
        build(plan)
    for label in sample:
        for wrong in (
            {k: v for k, v in sample.items() if k != label},
            sample | {label: "unknown"},
        ):
            with nn.sample(wrong), pytest.raises(SampleError) as error:
                build(plan)
            assert f"'{label}'" in str(error.value)
