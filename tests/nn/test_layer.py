"""Choices of modules and of their inputs: LayerChoice, InputChoice, Repeat, Placeholder."""

from contextlib import nullcontext
from functools import partial

import pytest
import torch

from runner import nn
from runner.errors import GraphError, SampleError, SpaceError
from runner.graph import convert
from runner.graph.transforms.resolve_choices import decided


class Add(nn.Module):
    """Adds a number."""

    def __init__(self, number=1):
        super().__init__()
        self.number = number

    def forward(self, x):
        return x + self.number


def result(module):
    """What a module makes of zero."""
    return module(torch.zeros(1)).item()


# LayerChoice


def test_without_a_context_the_first_module_is_taken():
    assert isinstance(nn.LayerChoice([nn.ReLU, nn.Tanh]), nn.ReLU)


def test_chosen_module_itself_comes_back():
    layers = [nn.Linear(1, 1), nn.Linear(1, 2)]
    with nn.sample({"layer": 1}):
        assert nn.LayerChoice(layers, label="layer") is layers[1]


def test_samples_hold_the_index_or_the_key(samples):
    assert samples(lambda: nn.LayerChoice([Add, Add], label="l")) == [{"l": 0}, {"l": 1}]
    table = {"one": Add, "two": partial(Add, 2)}
    assert samples(lambda: nn.LayerChoice(table, label="l")) == [{"l": "one"}, {"l": "two"}]


def test_dict_keys_choose(built):
    table = {"one": Add, "two": lambda: Add(2), "three": Add(3)}
    assert [result(m) for m in built(lambda: nn.LayerChoice(table, label="l"))] == [1, 2, 3]


def test_ten_candidates_of_different_channels(built):
    def choice():
        return nn.LayerChoice([partial(nn.Conv2d, 3, i, 1) for i in range(1, 11)], label="l")

    x = torch.zeros(1, 3, 2, 2)
    assert [conv(x).shape[1] for conv in built(choice)] == [*range(1, 11)]


def test_unused_callables_are_not_called():
    def never():
        raise AssertionError("called")

    with nn.sample({"layer": "used"}):
        nn.LayerChoice({"unused": never, "used": Add}, label="layer")


def nested_in_callables():
    inner = partial(nn.LayerChoice, [partial(Add, n) for n in (1, 2, 3)], label="inner")
    return nn.LayerChoice([inner, partial(Add, 4)], label="outer")


def nested_in_modules():
    inner = nn.LayerChoice([Add(1), Add(2), Add(3)], label="inner")
    return nn.LayerChoice([inner, Add(4)], label="outer")


def test_choices_in_a_callable_are_asked_only_when_it_is_chosen(samples, built):
    assert samples(nested_in_callables) == [
        {"outer": 0, "inner": 0},
        {"outer": 0, "inner": 1},
        {"outer": 0, "inner": 2},
        {"outer": 1},
    ]
    assert sorted(map(result, built(nested_in_callables))) == [1, 2, 3, 4]


def test_choices_in_a_module_are_always_asked(samples, built):
    assert len(samples(nested_in_modules)) == 6
    assert sorted(map(result, built(nested_in_modules))) == [1, 2, 3, 4, 4, 4]


def test_nests_to_any_depth(samples):
    def nest(depth):
        further = partial(nest, depth - 1) if depth else Add
        return nn.LayerChoice([Add, further], label=f"level{depth}")

    assert [len(s) for s in samples(partial(nest, 5))] == [1, 2, 3, 4, 5, 6, 6]


def test_candidates_must_be_or_make_modules():
    with pytest.raises(SpaceError, match=r"'text'.*must be a module"):
        nn.LayerChoice(["text"])
    with pytest.raises(SpaceError, match="returned 3; a candidate must be a module"):
        nn.LayerChoice([lambda: 3])
    with pytest.raises(SpaceError, match="'l' has no candidates"):
        nn.LayerChoice([], label="l")


@pytest.mark.parametrize("value", [2, -1, "2", "00", "a", True, None, [0]])
def test_unknown_indices_are_named(value):
    with nn.sample({"l": value}), pytest.raises(SampleError, match=r"'l' was given .*are 0, 1"):
        nn.LayerChoice([Add, Add], label="l")


@pytest.mark.parametrize("name", ["__class__", "0", "{x}", "a.b", "x\n", "'); import os; ('"])
def test_hostile_candidate_names_are_plain_data(name, samples):
    table = {name: Add, "other": Add}
    assert samples(lambda: nn.LayerChoice(table, label=name)) == [{name: name}, {name: "other"}]


# InputChoice


def test_inputs_of_three_and_five_channels(built):
    inputs = [torch.zeros(1, 3), torch.zeros(1, 5)]
    choices = built(lambda: nn.InputChoice(2, label="i"))
    assert [choice(inputs).shape[1] for choice in choices] == [3, 5]


@pytest.mark.parametrize(
    ("reduction", "expected"),
    [("sum", [[4.0]]), ("mean", [[2.0]]), ("concat", [[1.0, 3.0]])],
)
def test_reductions(reduction, expected):
    with nn.sample({"i": [0, 2]}):
        choice = nn.InputChoice(3, 2, reduction, label="i")
    inputs = [torch.tensor([[value]]) for value in (1.0, 2.0, 3.0)]
    assert choice(inputs).tolist() == expected


def test_reduction_none_gives_the_list():
    inputs = [torch.zeros(1), torch.ones(1), torch.ones(2)]
    with nn.sample({"i": [2, 0]}):
        picked = nn.InputChoice(3, 2, "none", label="i")(inputs)
    assert isinstance(picked, list)
    assert [tensor is inputs[i] for tensor, i in zip(picked, (0, 2), strict=True)] == [True, True]
    assert len(nn.InputChoice(3, 1, "none")(inputs)) == 1


def test_concat_adds_channels(built):
    inputs = [torch.zeros(1, 3, 2, 2)] * 4
    choices = built(lambda: nn.InputChoice(4, 2, "concat", label="i"))
    assert [choice(inputs).shape[1] for choice in choices] == [6] * 6


def test_one_chosen_input_is_that_tensor_itself():
    inputs = [torch.zeros(1), torch.ones(1)]
    for reduction in ("sum", "mean", "concat"):
        assert nn.InputChoice(2, 1, reduction)(inputs) is inputs[0]


def test_chosen_inputs_are_distinct(samples):
    assert samples(lambda: nn.InputChoice(3, 2, label="i")) == [
        {"i": [0, 1]},
        {"i": [0, 2]},
        {"i": [1, 2]},
    ]


def test_any_subset_may_be_chosen_and_an_empty_one_gives_none(samples):
    def factory():
        return nn.InputChoice(2, None, label="i")

    assert [s["i"] for s in samples(factory)] == [[], [0], [1], [0, 1]]
    with nn.sample({"i": []}):
        assert factory()([torch.zeros(1), torch.zeros(1)]) is None


@pytest.mark.parametrize("value", [[], [0], [0, 0], [0, 3], [-1, 0], 0, "01", [0.0, 1.0], None])
def test_unknown_subsets_are_named(value):
    with nn.sample({"i": value}), pytest.raises(SampleError, match="'i' was given"):
        nn.InputChoice(3, 2, label="i")


def test_wrong_n_chosen_is_refused():
    with pytest.raises(SpaceError, match="picks 4 of 3 inputs"):
        nn.InputChoice(3, 4)
    with pytest.raises(SpaceError, match="picks 0 of 3 inputs"):
        nn.InputChoice(3, 0)
    with pytest.raises(SpaceError, match="reduction is 'max'"):
        nn.InputChoice(3, 1, "max")


def test_wrong_number_of_inputs_is_refused():
    with pytest.raises(ValueError, match="called with 1 inputs; it has 2"):
        nn.InputChoice(2)([torch.zeros(1)])


class OfDict(nn.Module):
    """Calls its choice with tensors by name."""

    def __init__(self):
        super().__init__()
        self.pick = nn.InputChoice(choose_from=["a", "b"], label="i")

    def forward(self, x):
        return self.pick({"a": x, "b": x + 1})


def test_a_dict_of_inputs_is_refused_in_a_model_and_in_a_graph():
    message = r"called with a dict of \['a', 'b'\]; call it with a list of its 2 inputs"
    with pytest.raises(ValueError, match=message):
        OfDict()(torch.zeros(1))
    with nn.symbolic():
        graph = convert(OfDict())
    with pytest.raises(GraphError, match=message):
        decided(graph, lambda choice: choice.default)
    numbered = {0: torch.zeros(1), 1: torch.ones(1)}
    assert nn.InputChoice(2)(numbered) is numbered[0], "which are the indices that it has"


# Repeat


def test_depths_from_three_to_five(built):
    assert [result(m) for m in built(lambda: nn.Repeat(Add(), (3, 5), label="d"))] == [3, 4, 5]


def add_or_not(index=None):
    label = "op" if index is None else f"op{index}"
    return nn.LayerChoice([Add, nn.Identity], label=label)


def test_blocks_of_a_callable_are_independent(samples, built):
    def factory():
        return nn.Repeat(lambda index: add_or_not(index), (2, 3), label="d")

    assert len(samples(factory)) == 12
    assert sorted(map(result, built(factory))) == [0, 0, 1, 1, 1, 1, 1, 2, 2, 2, 2, 3]


def test_copies_of_a_module_share_its_choices(built):
    def factory():
        return nn.Repeat(add_or_not(), (3, 5), label="d")

    assert [result(m) for m in built(factory)] == [3, 4, 5, 0, 0, 0]


def test_copies_of_a_module_have_weights_of_their_own():
    repeat = nn.Repeat(nn.Linear(2, 2), 2)
    assert torch.equal(repeat[0].weight, repeat[1].weight)
    assert repeat[0].weight is not repeat[1].weight


def test_a_list_is_cut(built):
    blocks = [Add(1), partial(Add, 10), Add(100)]
    assert [result(m) for m in built(lambda: nn.Repeat(blocks, (0, 3), label="d"))] == [
        0,
        1,
        11,
        111,
    ]


def test_depth_zero_is_the_identity():
    x = torch.zeros(1)
    assert nn.Repeat(Add(), 0)(x) is x


def test_depth_is_a_value_or_computed_from_one(built):
    def factory():
        return nn.Repeat(Add(), nn.ValueChoice([0, 2, 4], label="d") + 1)

    assert [result(m) for m in built(factory)] == [1, 3, 5]
    choices = built(lambda: nn.Repeat(Add(), nn.ValueChoice([2, 1], label="d")))
    assert [result(m) for m in choices] == [2, 1]


def test_classes_and_functions_without_arguments_are_made_anew():
    assert result(nn.Repeat(Add, 3)) == 3, "an optional argument of a class is not the index"
    assert result(nn.Repeat(lambda: Add(2), 3)) == 6
    assert result(nn.Repeat(Add(), 3)) == 3
    assert result(nn.Repeat(lambda index: Add(index), 4)) == 0 + 1 + 2 + 3


def test_wrong_depths_are_refused():
    with pytest.raises(SpaceError, match="depth 3 was given only 2 blocks"):
        nn.Repeat([Add(), Add()], 3)
    with pytest.raises(SpaceError, match="depth 3 was given only 2 blocks"):
        nn.Repeat([Add(), Add()], (1, 3), label="d")
    with pytest.raises(SpaceError, match="depth -1"):
        nn.Repeat(Add(), -1)
    with pytest.raises(SpaceError, match=r"depth 1\.5"):
        nn.Repeat(Add(), 1.5)
    with pytest.raises(SpaceError, match="low is above high"):
        nn.Repeat(Add(), (3, 2), label="d")
    with nn.sample({"d": 6}), pytest.raises(SampleError, match=r"'d' was given 6.*3 to 5"):
        nn.Repeat(Add(), (3, 5), label="d")


# Placeholder


def test_placeholder_is_an_identity_that_shows_what_it_knows():
    mark = nn.Placeholder("mutate me", width=3)
    x = torch.zeros(1)
    assert mark(x) is x
    assert repr(mark) == "Placeholder('mutate me', width=3)"
    assert mark.info == {"width": 3}


CANDIDATES = {
    "none in a list": (lambda: nn.LayerChoice([nn.ReLU(), None], label="act"),
                       r"LayerChoice 'act': candidate 1 is None.*nn\.Identity\(\)"),
    "none in a dict": (lambda: nn.LayerChoice({"a": nn.ReLU, "b": None}, label="act"),
                       r"LayerChoice 'act': candidate 'b' is None.*nn\.Identity\(\)"),
    "none of a factory": (lambda: nn.LayerChoice([lambda: None], label="act"),
                          r"LayerChoice 'act': candidate 0, .*returned None.*nn\.Identity\(\)"),
    "a number": (lambda: nn.LayerChoice([nn.ReLU(), 3], label="act"),
                 "LayerChoice 'act': candidate 1 is 3; a candidate must be a module"),
    "a module alone": (lambda: nn.LayerChoice(nn.ReLU(), label="act"),
                       r"LayerChoice 'act': its candidates are ReLU\(\); give a list or a dict"),
    "no candidates at all": (lambda: nn.LayerChoice(None, label="act"),
                             "LayerChoice 'act': its candidates are None; give a list or a dict"),
    "a function of tensors": (lambda: nn.LayerChoice([torch.relu], label="act"),
                              "LayerChoice 'act': candidate 0 is called with no arguments"),
    "a class that takes arguments": (lambda: nn.LayerChoice({"c": nn.Conv2d}, label="act"),
                                     "candidate 'c' is called with no arguments, .*in_channels"),
    "none in a Repeat": (lambda: nn.Repeat([nn.ReLU(), None], (1, 2), label="depth"),
                         r"Repeat 'depth': candidate 1 is None.*nn\.Identity\(\)"),
    "none of a Repeat's factory": (lambda: nn.Repeat(lambda: None, 2),
                                   r"returned None.*nn\.Identity\(\)"),
    "none in a Cell": (lambda: nn.Cell([nn.Identity(), None], 2, label="cell"),
                       r"Cell 'cell': candidate 1 is None.*nn\.Identity\(\)"),
    "none of a Cell's factory": (lambda: nn.Cell([lambda *_: None], 2, label="cell"),
                                 r"a candidate of '.*op_1_0'.*returned None.*nn\.Identity\(\)"),
    "a placeholder without a name": (lambda: nn.Placeholder(), "has the name None; give it"),
    "a placeholder named by a number": (lambda: nn.Placeholder(3), "has the name 3; give it"),
}  # fmt: skip


@pytest.mark.parametrize("case", CANDIDATES)
@pytest.mark.parametrize("symbolic", [False, True])
def test_what_is_no_candidate_is_named_with_its_choice(case, symbolic):
    make, message = CANDIDATES[case]
    with nn.symbolic() if symbolic else nullcontext(), pytest.raises(SpaceError, match=message):
        make()


def test_a_type_error_inside_a_factory_is_its_own():
    def factory():
        return nn.Linear("wide", 3) + 1

    with pytest.raises(TypeError) as raised:
        nn.LayerChoice([factory], label="act")
    assert "LayerChoice" not in str(raised.value)


def test_a_module_list_or_dict_of_candidates_is_taken_as_they_are():
    relu, tanh = nn.ReLU(), nn.Tanh()
    assert nn.LayerChoice(nn.ModuleList([relu, tanh])) is relu
    assert nn.LayerChoice(nn.ModuleDict({"t": tanh, "r": relu})) is tanh


def test_a_placeholder_takes_its_name_as_a_label():
    assert nn.Placeholder(label="stem", width=3).facts() == {"name": "stem", "info": {"width": 3}}
    assert nn.Placeholder("a", label="b").facts() == {"name": "a", "info": {"label": "b"}}


def test_a_placeholder_cannot_be_subclassed():
    with pytest.raises(SpaceError, match=r"cannot be subclassed.*info"):

        class Mine(nn.Placeholder):
            pass
