"""Choices of plain values: what comes back, and what a sample may say."""

import math
from random import Random

import pytest
import torch
import torch.nn.functional as F

from runner import nn
from runner.errors import SampleError, SpaceError


def test_without_a_context_the_first_candidate_is_taken():
    assert nn.ValueChoice([3, 5]) == 3
    assert nn.IntChoice(2, 8) == 2
    assert nn.FloatChoice(0.5, 1) == 0.5


def test_values_are_the_candidates_themselves(built):
    candidates = [1, 2.5, "x", True, None, (1, 2), [3, 4], {"k": 5}]
    values = [*built(lambda: nn.ValueChoice(candidates, label="v"))]
    assert values == candidates
    assert [isinstance(v, type(c)) for v, c in zip(values, candidates, strict=True)] == [True] * 8


def test_tuples_are_lists_in_a_sample(samples):
    assert samples(lambda: nn.ValueChoice([(3, 3), (5, 5)], label="k")) == [
        {"k": [3, 3]},
        {"k": [5, 5]},
    ]
    with nn.sample({"k": [5, 5]}):
        kernel = nn.ValueChoice([(3, 3), (5, 5)], label="k")
    assert kernel == (5, 5)
    assert isinstance(kernel, tuple)


def test_kernels_without_padding_shrink_images(built):
    x = torch.zeros(1, 1, 5, 5)
    convs = built(lambda: nn.Conv2d(1, 1, nn.ValueChoice([3, 5], label="kernel")))
    assert [tuple(conv(x).shape[2:]) for conv in convs] == [(3, 3), (1, 1)]


def test_two_parameters_are_four_shapes(built):
    def conv():
        channels = nn.ValueChoice([6, 8], label="channels")
        return nn.Conv2d(3, channels, nn.ValueChoice([3, 1], label="kernel"))

    x = torch.zeros(2, 3, 5, 5)
    assert [tuple(conv(x).shape) for conv in built(conv)] == [
        (2, 6, 3, 3),
        (2, 6, 5, 5),
        (2, 8, 3, 3),
        (2, 8, 5, 5),
    ]


def test_values_stand_inside_tuples(built):
    def conv():
        kernel = nn.ValueChoice([1, 3], label="kernel")
        return nn.Conv2d(1, 1, (kernel, kernel), padding=(kernel // 2, kernel // 2))

    assert [conv(torch.zeros(1, 1, 4, 4)).shape[2:] for conv in built(conv)] == [(4, 4), (4, 4)]


def test_a_shared_label_is_one_dimension(built, samples):
    def pair():
        return [nn.ValueChoice([1, 2], label="same"), nn.ValueChoice([1, 2], label="same")]

    assert samples(pair) == [{"same": 1}, {"same": 2}]
    assert [*built(pair)] == [[1, 1], [2, 2]]


def test_without_sharing_shapes_can_disagree(built):
    def net():
        first = nn.Linear(1, nn.ValueChoice([2, 3], label="out"))
        return nn.Sequential(first, nn.Linear(nn.ValueChoice([2, 3], label="in"), 1))

    def runs(model):
        try:
            model(torch.zeros(1, 1))
        except RuntimeError:
            return False
        return True

    assert [runs(model) for model in built(net)] == [True, False, False, True]


@pytest.mark.parametrize(
    "function",
    [
        lambda a, b: a + b,
        lambda a, b: 2 * a - b,
        lambda a, b: a / b,
        lambda a, b: a // b,
        lambda a, b: a % b,
        lambda a, b: a**b,
        lambda a, b: a << b,
        lambda a, b: a >= b,
        lambda a, b: -a + abs(b),
        lambda a, b: round(a * 0.5),
        lambda a, b: math.floor(a / b) + math.ceil(a / b),
        lambda a, b: [7, 8, 9, 10, 11, 12][a],
        lambda a, b: [*range(a)],
        lambda a, b: f"{a} of {b}",
    ],
)
def test_arithmetic_follows_python(function, built):
    def computed():
        return function(nn.ValueChoice([3, 5], label="a"), nn.ValueChoice([1, 2], label="b"))

    assert [*built(computed)] == [function(a, b) for a in (3, 5) for b in (1, 2)]


def test_rounding_follows_python(built):
    def channels():
        return round(
            nn.ValueChoice([5, 6], label="c") * nn.ValueChoice([0.5, 0.25, 1.5], label="r")
        )

    expected = [round(c * r) for c in (5, 6) for r in (0.5, 0.25, 1.5)]
    assert [*built(channels)] == expected
    assert expected == [2, 1, 8, 3, 2, 9]


def test_items_of_tuples_and_dicts(built):
    def items():
        pair = nn.ValueChoice([(1, 2), (3, 4)], label="pair")
        table = nn.ValueChoice([{"k": [5, 6]}, {"k": [7, 8]}], label="table")
        return pair[1], table["k"][0]

    assert [*built(items)] == [(2, 5), (2, 7), (4, 5), (4, 7)]


def test_functions_of_choices(built):
    def values():
        a = nn.ValueChoice([1, 5], label="a")
        return (
            nn.ValueChoice.max(a, 3),
            nn.ValueChoice.min(a, 3),
            nn.ValueChoice.condition(a > 2, "large", "small"),
            nn.ValueChoice.to_int(a / 2),
            nn.ValueChoice.to_float(a),
        )

    assert [*built(values)] == [(3, 1, "small", 0, 1.0), (5, 3, "large", 2, 5.0)]


def test_values_can_be_called_in_forward(built):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.p = nn.ValueChoice([0.0, 1.0], label="p")
            self.size = nn.ValueChoice([(2, 2), (4, 4)], label="size")
            self.mode = nn.ValueChoice(["max", "avg"], label="mode")
            self.times = nn.ValueChoice([1, 2], label="times")

        def forward(self, x):
            x = F.dropout(x, self.p()) * self.times()
            pool = {"max": F.max_pool2d, "avg": F.avg_pool2d}[self.mode()]
            return pool(x, self.size())

    results = [net(torch.ones(1, 1, 4, 4)) for net in built(Net)]
    assert [r.shape[2] for r in results] == [2, 2, 2, 2, 1, 1, 1, 1] * 2
    assert [r.mean().item() for r in results] == [1, 2] * 4 + [0] * 8


@pytest.mark.parametrize("value", [3, 0.5, "text", (1, 2), [1, 2], {"k": 1}])
def test_called_values_are_plain(value):
    assert type(nn.ValueChoice([value])()) is type(value)


def test_int_ranges(samples):
    assert [s["n"] for s in samples(lambda: nn.IntChoice(2, 9, step=3, label="n"))] == [2, 5, 8]
    with nn.sample({"n": 4}), pytest.raises(SampleError, match=r"'n' was given 4.*2 to 9"):
        nn.IntChoice(2, 9, step=3, label="n")


def test_float_ranges_stay_inside_and_log_ranges_reach_low(space_of):
    rng = Random(0)
    flat = space_of(lambda: nn.FloatChoice(-1, 1, label="x"))
    log = space_of(lambda: nn.FloatChoice(1e-4, 1e-1, log=True, label="lr"))
    assert all(-1 <= flat.random(rng)["x"] <= 1 for _ in range(100))
    small = sum(log.random(rng)["lr"] < 1e-3 for _ in range(300))
    assert 50 < small < 150, "about a third of a log range of three decades"


def test_a_continuous_range_needs_a_resolution_to_be_listed(space_of):
    space = space_of(lambda: nn.FloatChoice(0, 1, label="x"))
    assert [s["x"] for s in space.enumerate(resolution=3)] == [0, 0.5, 1]
    with pytest.raises(SpaceError, match=r"'x'.*continuous"):
        list(space.enumerate())


def test_same_label_with_other_candidates_prints_both():
    def clash():
        nn.ValueChoice([1, 2], label="width")
        nn.ValueChoice([1, 3], label="width")

    with nn.draw(lambda choice: choice.default), pytest.raises(SpaceError) as error:
        clash()
    assert str(error.value) == (
        "Label 'width' is used by two choices: 1, 2; and 1, 3. Give one of them another label."
    )


def test_unknown_value_is_named():
    with nn.sample({"width": 7}), pytest.raises(SampleError) as error:
        nn.ValueChoice([16, 32], label="width")
    assert str(error.value) == "Choice 'width' was given 7; its candidates are 16, 32."


@pytest.mark.parametrize(
    ("candidates", "value"),
    [([1, 2], True), ([0, 1], False), (["1"], 1), ([True], 1), ([None], 0), ([[1]], [1, 1])],
)
def test_values_of_another_type_are_unknown(candidates, value):
    with nn.sample({"v": value}), pytest.raises(SampleError, match="'v' was given"):
        nn.ValueChoice(candidates, label="v")


def test_candidates_must_be_there_once_and_be_json():
    with pytest.raises(SpaceError, match="'v' has no candidates"):
        nn.ValueChoice([], label="v")
    with pytest.raises(SpaceError, match="'v' lists a candidate twice: 1, 2, 1"):
        nn.ValueChoice([1, 2, 1], label="v")
    with pytest.raises(SpaceError, match="LayerChoice for modules"):
        nn.ValueChoice([nn.ReLU()], label="v")
    with pytest.raises(SpaceError, match="plain JSON"):
        nn.ValueChoice([float("nan")], label="v")


HOSTILE = ["__import__('os').abort()", "{0.__class__}", "%s", "a\nb", "'; --", "../../x", "", "é😀"]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_plain_data(text, samples):
    assert samples(lambda: nn.ValueChoice([text, 0], label=text)) == [{text: text}, {text: 0}]
    with nn.sample({text: text}, strict=True):
        assert nn.ValueChoice([text, 0], label=text) == text
    with nn.sample({text: 1}), pytest.raises(SampleError, match="was given 1"):
        nn.ValueChoice([text, 0], label=text)
