"""The symbolic build: the same choices as in the fixed one, and all candidates in one model."""

import copy
from functools import partial
from importlib import import_module
from random import Random

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runner import nn
from runner.errors import SpaceError, SymbolicError
from runner.nn.recording.construction_record import record_of
from runner.nn.values.expression import Expression, variables_in

SPACES = [
    ("mlp", "MLP"),
    ("resnet", "ResNet"),
    ("mobilenet", "MobileNet"),
    ("transformer", "Transformer"),
    ("cell", "CellNet"),
]


class Add(nn.Module):
    """Adds a number."""

    def __init__(self, number=1):
        super().__init__()
        self.number = number

    def forward(self, x):
        return x + self.number


def symbolic(factory, **kwargs):
    with nn.symbolic(**kwargs):
        return factory()


def shapes(model):
    return {name: tensor.shape for name, tensor in model.state_dict().items()}


def check_sample(factory, model, decided, choose):
    """A sample of the fixed build decides the symbolic model to the same model."""
    with nn.draw(choose) as sample:
        fixed = factory()
    result = decided(model, sample)
    assert result.asked.keys() <= sample.keys()
    assert list(shapes(result.model).items()) == list(shapes(fixed).items())
    result.model.load_state_dict(fixed.state_dict())
    return result, fixed, sample


# Spaces


@pytest.fixture(params=SPACES, ids=lambda space: space[0])
def space(request):
    module, name = request.param
    return getattr(import_module(f"spaces.{module}"), name)


@pytest.mark.parametrize("defaults", ["first", "last"])
def test_shipped_spaces_build_and_run_as_their_default_model(space, defaults, decided):
    pick = {"first": nn.symbolic, "last": partial(nn.symbolic, defaults="last")}[defaults]
    with pick() as build:
        model = space()
    model.eval()
    x = torch.randn(2, 1, 8, 8)
    result, fixed, _ = check_sample(space, model, decided, build.walk.choose)
    assert model(x).shape == fixed(x).shape
    for name, tensor in result.model.eval().state_dict().items():
        tensor.copy_(torch.ones_like(tensor))
        assert fixed.state_dict()[name].shape == tensor.shape


def test_shipped_spaces_have_the_samples_of_the_fixed_build(space, decided):
    model = symbolic(space)
    x = torch.randn(2, 1, 8, 8)
    for seed in range(10):
        rng = Random(seed)
        choose = lambda choice: choice.random(rng)  # noqa: E731, B023
        result, fixed, sample = check_sample(space, model, decided, choose)
        assert result.asked.keys() == sample.keys()
        torch.testing.assert_close(result.model.eval()(x), fixed.eval()(x))


def test_labels_and_candidates_are_those_of_the_fixed_build(space):
    known = {}
    for module in symbolic(space).modules():
        record = record_of(module)
        facts = module.facts() if hasattr(module, "kind") else {}
        for variable in variables_in((record.args, record.kwargs, facts)):
            known[variable.choice.label] = variable.choice
        for slot in [slot for node in facts.get("nodes", []) for slot in node]:
            known |= {slot[name].label: slot[name] for name in ("op", "input")}
        if "choice" in facts:
            known[facts["choice"].label] = facts["choice"]
    for seed in range(10):
        rng = Random(seed)
        asked = {}

        def choose(choice):
            asked[choice.label] = choice  # noqa: B023
            return choice.random(rng)  # noqa: B023

        with nn.draw(choose):
            space()
        assert asked.items() <= known.items()


# ValueChoice


def test_values_are_expressions():
    with nn.symbolic():
        width = nn.ValueChoice([16, 32], label="width")
        ratio = nn.FloatChoice(0.5, 1, label="ratio")
        depth = nn.IntChoice(2, 8, step=3, label="depth")
        assert width() is width
    assert [type(value) for value in (width, ratio, depth)] == [nn.values.value.Variable] * 3
    assert isinstance(width, Expression)
    assert (width.default, ratio.default, depth.default) == (16, 0.5, 2)
    assert width() == 16, "where the model runs, its default is meant"
    assert repr(round(width * ratio)) == "round(width * ratio)"


def test_the_last_candidates_may_be_the_default():
    def values():
        return [
            nn.ValueChoice([16, 32], label="a"),
            nn.IntChoice(2, 9, step=3, label="b"),
            nn.FloatChoice(0.5, 1, label="c"),
            nn.IntChoice(1, 100, log=True, label="d"),
        ]

    assert [value.default for value in symbolic(values, defaults="last")] == [32, 8, 1.0, 100]
    layer = symbolic(lambda: nn.Linear(2, nn.ValueChoice([3, 4])), defaults="last")
    assert layer.weight.shape == (4, 2)
    choice = symbolic(lambda: nn.LayerChoice([Add, partial(Add, 2)]), defaults="last")
    assert choice(0) == 2
    assert symbolic(lambda: nn.InputChoice(4, 2), defaults="last").chosen == [2, 3]
    assert symbolic(lambda: nn.InputChoice(4, None), defaults="last").chosen == [0, 1, 2, 3]
    assert symbolic(lambda: nn.Repeat(Add(), (2, 4)), defaults="last")(0) == 4


def test_tuples_come_back_as_tuples():
    with nn.symbolic():
        kernel = nn.ValueChoice([(3, 3), (5, 5)], label="k")
    assert kernel.resolve(lambda choice: [5, 5]) == (5, 5)
    assert kernel[0].resolve(lambda choice: [5, 5]) == 5


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_values_in_forward_run_as_the_default():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.ValueChoice([2.0, 3.0], label="scale")
            self.p = nn.ValueChoice([0.0, 0.5], label="p")

        def forward(self, x):
            return nn.functional.dropout(x, self.p()) * self.scale + self.scale()

    assert torch.equal(symbolic(Net)(torch.ones(2)), torch.full((2,), 4.0))
    assert torch.equal(copy.deepcopy(symbolic(Net))(torch.ones(2)), torch.full((2,), 4.0))


# LayerChoice


def test_all_candidates_are_children_in_their_order():
    table = {"one": Add, "two": partial(Add, 2), "three": Add(3)}
    choice = symbolic(lambda: nn.LayerChoice(table, label="l"))
    assert choice.kind == "LayerChoice"
    assert [name for name, _ in choice.named_children()] == ["0", "1", "2"]
    assert [child(0) for child in choice.children()] == [1, 2, 3]
    assert choice.facts()["choice"].candidates == ("one", "two", "three")
    assert choice(0) == 1
    assert "l: 'one', 'two', 'three'" in repr(choice)


def test_attributes_of_an_open_choice_are_refused():
    with pytest.raises(SymbolicError, match=r"'out_features' of a LayerChoice.*symbolic") as error:
        symbolic(lambda: nn.LayerChoice([partial(nn.Linear, 1, 2)]).out_features)
    assert __file__ in str(error.value)
    with nn.symbolic():
        assert not hasattr(nn.LayerChoice([Add]), "out_features")


def test_candidates_start_from_the_same_numbers(decided):
    def block():
        return nn.Linear(2, nn.ValueChoice([2, 3]))

    @nn.model_wrapper
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.LayerChoice([block, block], label="a")
            self.b = block()

    model = symbolic(Net)
    labels = [variable.choice.label for child in (*model.a.children(), model.b)
              for variable in variables_in(record_of(child).args)]  # fmt: skip
    assert labels == ["Net/1", "Net/1", "Net/2"]
    check_sample(Net, model, decided, lambda choice: choice.candidates[-1])


def test_numbers_that_depend_on_an_open_choice_are_refused():
    def numbered():
        return nn.Linear(2, nn.ValueChoice([2, 3]))

    def choose():
        return nn.LayerChoice([numbered, Add], label="outer")

    symbolic(choose)
    symbolic(lambda: (choose(), nn.ValueChoice([1], label="given")))
    with pytest.raises(SymbolicError, match="cannot be numbered"):
        symbolic(lambda: (choose(), nn.ValueChoice([1])))
    with pytest.raises(SymbolicError, match="cannot be numbered"):
        symbolic(lambda: (nn.Repeat(numbered, (1, 2), label="d"), nn.ValueChoice([1])))


def test_labels_may_differ_where_they_never_meet():
    def value(*candidates):
        return nn.Linear(1, nn.ValueChoice(candidates, label="width"))

    def apart():
        return nn.LayerChoice([partial(value, 1, 2), partial(value, 3, 4)], label="l")

    def together():
        return apart(), value(1, 2)

    def nested():
        inner = partial(nn.LayerChoice, [Add, partial(value, 1)], label="inner")
        return nn.LayerChoice([inner, partial(value, 2)], label="l"), value(3)

    def tied():  # the same label is the same answer
        return apart(), nn.LayerChoice([Add, partial(value, 3, 4)], label="l")

    symbolic(apart)
    symbolic(tied)
    for clash in (together, nested):
        with pytest.raises(SpaceError, match="'width' is used by two choices"):
            symbolic(clash)
    with nn.symbolic(), pytest.raises(SpaceError, match=r"1, 2; and 1, 3. Give one"):
        value(1, 2), value(1, 3)


# InputChoice


def test_inputs_run_as_the_default_and_say_what_is_open():
    choice = symbolic(lambda: nn.InputChoice(3, 2, "concat", label="i"))
    facts = choice.facts()
    assert (choice.kind, facts["chosen"], facts["n_candidates"]) == ("InputChoice", None, 3)
    assert (facts["choice"].label, facts["reduction"]) == ("i", "concat")
    assert choice([torch.zeros(1, 2)] * 3).shape == (1, 4)
    assert repr(choice) == "ChosenInputs(i of 3, reduction='concat')"
    fixed = nn.InputChoice(3, 2)
    assert fixed.kind == "InputChoice"
    assert fixed.facts() == {
        "choice": None, "chosen": [0, 1], "n_candidates": 3, "reduction": "sum",
    }  # fmt: skip


# Repeat


def test_repeats_hold_as_many_blocks_as_can_occur():
    repeat = symbolic(lambda: nn.Repeat(Add(), (3, 5), label="d"))
    assert repeat.kind == "Repeat"
    assert [name for name, _ in repeat.named_children()] == ["0", "1", "2", "3", "4"]
    assert repr(repeat.facts()["depth"]) == "d"
    assert repeat(0) == 3
    assert (len(repeat), len([*repeat]), repeat[-1](0)) == (3, 3, 1)
    repeat = symbolic(lambda: nn.Repeat(Add, nn.ValueChoice([0, 2, 4], label="d") + 1))
    assert len([*repeat.children()]) == 5
    assert repr(repeat.facts()["depth"]) == "d + 1"


def test_a_plain_depth_is_a_sequential_at_once():
    assert type(symbolic(lambda: nn.Repeat(Add(), 2))) is torch.nn.Sequential


def test_depth_zero_is_the_identity():
    x = torch.zeros(1)
    assert symbolic(lambda: nn.Repeat(Add(), (0, 2)))(x) is x


def test_copies_share_the_choices_of_a_module(decided):
    def factory():
        return nn.Repeat(nn.LayerChoice([Add, nn.Identity], label="op"), (3, 5), label="d")

    model = symbolic(factory)
    samples = [{"d": depth, "op": op} for depth in (3, 4, 5) for op in (0, 1)]
    assert [decided(model, sample).model(0) for sample in samples] == [3, 0, 4, 0, 5, 0]


def test_the_length_of_an_open_repeat_is_refused():
    for use in (len, list, bool, lambda repeat: repeat[0]):
        with nn.symbolic(), pytest.raises(SymbolicError, match="'d'"):
            use(nn.Repeat(Add(), (1, 2), label="d"))


def test_wrong_depths_are_refused():
    with nn.symbolic():
        with pytest.raises(SpaceError, match="depth 3 was given only 2 blocks"):
            nn.Repeat([Add(), Add()], nn.ValueChoice([1, 3], label="d"))
        with pytest.raises(SpaceError, match="depth -1"):
            nn.Repeat(Add(), nn.ValueChoice([1, 0], label="e") - 1)
        with pytest.raises(SymbolicError, match="too many values"):
            nn.Repeat(Add(), nn.IntChoice(1, 10**6, label="f"))


# Cell


def conv(width, node, slot, state):
    return nn.Conv2d(width, width, 1)


def strided(node, slot, state):
    return nn.Conv2d(4, 4, 1, stride=2 if state < 2 else 1)


@pytest.mark.parametrize("merge_op", ["all", "loose_end"])
def test_cells_decide_to_the_cells_of_the_fixed_build(merge_op, decided):
    def factory():
        ops = {"conv": partial(conv, 4), "id": nn.Identity(), "none": strided}
        ops.pop("none")
        return nn.Cell(ops, 3, 2, 2, merge_op, preprocessor=Pad(), label="c")

    model = symbolic(factory)
    x = torch.randn(1, 4, 2, 2)
    for seed in range(20):
        rng = Random(seed)
        choose = lambda choice: choice.random(rng)  # noqa: E731, B023
        result, fixed, sample = check_sample(factory, model, decided, choose)
        assert result.asked.keys() == sample.keys()
        assert result.model.output_node_indices == fixed.output_node_indices
        torch.testing.assert_close(result.model(x, x), fixed(x, x))
    assert model(x, x).shape == symbolic(factory)(x, x).shape


class Pad(nn.Module):
    """Leaves the inputs as they are."""

    def forward(self, inputs: list[torch.Tensor]):
        return inputs


def test_variants_are_kept_where_the_state_makes_a_difference():
    cell = symbolic(lambda: nn.Cell([strided, partial(conv, 4)], 2, 1, 2, label="c"))
    assert isinstance(cell, nn.Cell)
    facts = cell.facts()
    assert (cell.kind, facts["num_predecessors"], facts["merge_op"]) == ("Cell", 2, "all")
    (first,), (second,) = facts["nodes"]
    assert (first["op"].label, first["input"].label, first["state"]) == (
        "c/op_2_0",
        "c/input_2_0",
        None,
    )
    assert first["variants"] == {
        (0, 0): "ops.0.0.0", (0, 1): "ops.0.0.0", (1, 0): "ops.0.0.1", (1, 1): "ops.0.0.1",
    }  # fmt: skip
    strides = {state: cell.get_submodule(second["variants"][0, state]).stride for state in range(3)}
    assert strides == {0: (2, 2), 1: (2, 2), 2: (1, 1)}
    assert len(cell.get_submodule("ops.1.0")) == 3
    assert set(first["variants"].values()) <= {name for name, _ in cell.named_modules()}


def test_fixed_cells_say_what_was_decided():
    def last(output, inputs):
        return output

    with nn.sample({"c/input_1_0": [0], "c/op_1_0": 0}):
        cell = nn.Cell([partial(conv, 4)], 1, preprocessor=Pad(), postprocessor=last, label="c")
    facts = cell.facts()
    assert facts["nodes"] == [[{"op": None, "input": None, "state": 0, "variants": {}}]]
    assert (facts["preprocessor"], facts["postprocessor"]) == ("preprocessor", last)
    assert nn.Cell([partial(conv, 4)], 1).facts()["preprocessor"] is None


def test_loose_ends_are_open_with_the_inputs():
    with nn.symbolic():
        cell = nn.Cell([partial(conv, 4)], 2, merge_op="loose_end", label="c")
        ends = cell.output_node_indices
        with pytest.raises(SymbolicError, match="c/input_2_0"):
            len(ends)
    assert ends.resolve(lambda choice: [0]) == [1, 2]
    assert ends.resolve(lambda choice: [choice.n - 1]) == [2]


def test_open_cells_are_copied_whole():
    cell = copy.deepcopy(symbolic(lambda: nn.Cell([strided], 1, 1, 2, label="c")))
    [[slot]] = cell.facts()["nodes"]
    assert cell.get_submodule(slot["variants"][0, 0]) is cell.ops[0][0][0]


# Everything together


def test_placeholders_say_what_they_know():
    mark = nn.Placeholder("here", width=3)
    assert (mark.kind, mark.facts()) == ("Placeholder", {"name": "here", "info": {"width": 3}})


def test_nothing_is_open_outside():
    with nn.symbolic():
        with nn.sample({"x": 2}):
            assert nn.ValueChoice([1, 2], label="x") == 2
        assert isinstance(nn.ValueChoice([1, 2], label="x"), Expression)
    assert nn.ValueChoice([1, 2], label="x") == 1


@pytest.mark.parametrize(
    "use",
    [
        lambda n: range(n),
        lambda n: [1, 2][n],
        lambda n: 1 if n > 1 else 2,
        lambda n: max(n, 3),
        lambda n: int(n),
        lambda n: float(n),
        lambda n: [*n],
        lambda n: len(n),
        lambda n: {n: 1},
        lambda n: n in (5, 6),
        lambda n: 1 in n,
        lambda n: f"width {n}",
        lambda n: nn.Parameter(torch.zeros(1, n)),
        lambda n: nn.init.constant_(torch.zeros(2), n),
        lambda n: torch.zeros(n),
        lambda n: torch.randn(n, 2),
        lambda n: torch.tensor(n),
        lambda n: torch.ones(2) * n,
        lambda n: n * torch.ones(2),
        lambda n: torch.ones(2)[n],
        lambda n: torch.nn.init.trunc_normal_(torch.zeros(2), std=n),
    ],
)
def test_what_needs_the_value_is_refused_with_the_line(use):
    with pytest.raises(SymbolicError, match=r"width|Variable") as error:
        symbolic(lambda: use(nn.ValueChoice([1, 2], label="width")))
    assert "Variable" in str(error.value) or f"{__file__}:" in str(error.value)


def test_what_never_asks_for_the_value_works():
    with nn.symbolic():
        n = nn.ValueChoice([1, 2], label="n")
        assert n is not None
        assert n != nn.ReLU, "another kind of thing is never equal"
        assert copy.deepcopy(n) is n
        assert str(nn.Dropout(n * 0.1)) == "Dropout(p=0.1, inplace=False)"


LEAF = st.tuples(st.just("value"), st.lists(st.integers(1, 9), min_size=1, max_size=4, unique=True))


def _branches(inner):
    some = st.lists(inner, min_size=1, max_size=3)
    return st.one_of(
        st.tuples(st.just("layer"), some),
        st.tuples(st.just("repeat"), inner, st.integers(0, 3)),
        st.tuples(st.just("scope"), some),
        st.tuples(st.just("module"), some),
    )


def build(plan, path="x"):
    """A module for a random plan of nested choices, labelled by their place."""
    paths = (f"{path}{i}" for i in range(9))
    match plan:
        case ("value", candidates):
            return nn.Linear(1, nn.ValueChoice(candidates, label=path) * 2 - 1)
        case ("layer", plans):
            makers = [partial(build, *place) for place in zip(plans, paths, strict=False)]
            return nn.LayerChoice(makers, label=path)
        case ("module", plans):
            made = [build(*place) for place in zip(plans, paths, strict=False)]
            return nn.LayerChoice(made, label=path)
        case ("repeat", inner, most):
            return nn.Repeat(lambda index: build(inner, f"{path}_{index}"), (0, most), label=path)
        case ("scope", plans):
            with nn.label_scope("scope"):
                return nn.Sequential(*map(build, plans, paths))


@settings(
    deadline=None,
    max_examples=100,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # it gives a class
)
@given(plan=st.recursive(LEAF, _branches, max_leaves=8), seed=st.integers(0, 2**32))
def test_random_spaces_decide_to_the_same_models(decided, plan, seed):
    rng = Random(seed)
    model = symbolic(partial(build, plan))
    with nn.draw(lambda choice: choice.random(rng)) as sample:
        fixed = build(plan)
    result = decided(model, sample)
    assert shapes(result.model) == shapes(fixed)
    assert result.asked.keys() <= sample.keys(), "modules are asked about in any case"
