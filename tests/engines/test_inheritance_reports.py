"""What a report says of a model with inherited weights: "equal" only where outputs are."""

import json
from dataclasses import dataclass

import halves
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runner.config.instantiate import build
from runner.engines import inheritance
from runner.engines.base import BaseEngine
from runner.engines.inheritance import BaseModels
from runner.errors import RunnerError
from runner.graph.weight_transfer.comparison import NotCompared, compared, outputs
from runner.trial import Trial, trial_folder

IMAGES = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(9))


@dataclass
class Inherited:
    """A model that was made of another one: how far its outputs are off, and what is said."""

    off: float
    share: float
    preserved: float | None
    report: str


def inherited(space, *mutators, folder, factor=None) -> Inherited:
    nodes = [{"_target_": f"runner.mutators.{name}", **given} for name, given in mutators]
    trust = ["halves", "claims"]
    made = BaseEngine((3, 8, 8), space=space, mutators=nodes, trust=trust, weights="inherit")
    sample = made.space.draw(lambda choice: factor or choice.default)
    [job] = made.plan([Trial(0, sample, 0)])
    [recipe] = json.loads(json.dumps(job.recipes))
    model = made.build(recipe, folder)
    modes = [module.training for module in model.modules()]
    metrics = made.inherit(recipe, model, folder, BaseModels())
    assert [module.training for module in model.modules()] == modes
    report = (trial_folder(folder, 0) / "inherited.txt").read_text()
    torch.manual_seed(inheritance.SEED)
    base = build(space, trust).eval()
    with torch.no_grad():
        off = (model.eval()(IMAGES) - base(IMAGES)).abs().max().item()
    return Inherited(off, metrics["inherited"], metrics.get("preserved"), report)


def assert_true(found: Inherited) -> None:
    """The report says what is, and promises nothing else."""
    said = found.report.splitlines()[1]
    assert said.startswith("equal: ") == (found.preserved == 1) == (found.off < 2e-5), found
    if found.off >= 2e-5:
        assert said.startswith("not equal: ") and found.preserved == 0
        assert "100.0%" not in found.report or "smaller" in said
    if "WARNING" in said:
        assert found.share < 1


def width(factor, on="", cls=""):
    return "width.Width", {"on": on, "cls": cls, "width": [1.0, factor]}


def layers(cls) -> list[str]:
    """The paths of a model's layers, each once; "" is for all linear ones."""
    return [
        "",
        *(p for p, m in cls().named_modules() if p not in ("", "head") and not [*m.children()]),
    ]


MODELS = (*halves.KEPT, *halves.DOUBLED, *halves.CHANGED)
CASES = [(cls, path, 1.5) for cls in MODELS for path in layers(cls)]
CASES += [(cls, "", factor) for cls in MODELS for factor in (2.0, 0.5)]
CASES += [(halves.GroupNormed, "conv", 2.0)]


@pytest.mark.sampled(4)
@pytest.mark.parametrize(("cls", "path", "factor"), CASES)
def test_a_wider_model_computes_what_the_old_one_did_or_its_report_says_that_it_does_not(
    cls, path, factor, tmp_path
):
    mutator = width(factor, path, "" if path else "Linear")
    try:
        found = inherited({"_target_": f"halves.{cls.__name__}"}, mutator, folder=tmp_path,
                          factor=factor)  # fmt: skip
    except RunnerError as refused:  # as where two layers of one weight would differ in size
        tied = cls in halves.TIED and "one tensor" in str(refused)
        known = tied or (cls in halves.REFUSING and "another width" in str(refused))
        assert known or "a width of its own" in str(refused) or not path, refused
        return
    assert_true(found)
    if factor > 1 and (cls in halves.KEPT or (cls in halves.DOUBLED and factor == 2)):
        assert found.preserved == 1 and found.share == 1, found
    if factor > 1 and cls in halves.CHANGED and not found.preserved:
        assert "WARNING" in found.report


ties = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), max_size=2)
joins = st.lists(st.integers(0, len(halves.JOINS) - 1), min_size=1, max_size=3)
wide = st.lists(st.sampled_from(["stem", "wide.0", "wide.1", "beside.0", "**"]), min_size=1,
                max_size=2, unique=True)  # fmt: skip


@settings(max_examples=25, deadline=None, derandomize=True,
          suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
@given(joins, ties, wide, st.sampled_from([1.5, 2.0]))
def test_of_random_models_with_random_ties_a_report_says_what_is(
    tmp_path, joins, ties, paths, factor
):
    space = {"_target_": "halves.Random", "joins": joins, "ties": ties}
    mutators = [width(factor, path, "Linear") for path in paths]
    try:
        found = inherited(space, *mutators, folder=tmp_path, factor=factor)
    except RunnerError:
        return
    assert_true(found)
    assert found.preserved == 1, found


CLAIMS = [
    ("nothing", [], "equal"),
    ("an identity goes", [("remove.Remove", {"on": "blocks.0.drop", "remove": True})], "equal"),
    ("an activation goes", [("remove.Remove", {"on": "blocks.0.act", "remove": True})],
     "blocks.0.act (Tanh) was removed."),
    ("an activation is another one",
     [("replace.Replace", {"on": "blocks.0.act", "replace": "ReLU"})], "blocks.0.act ("),
    ("a larger kernel", [("kernel.Kernel", {"on": "blocks.*.conv", "kernel": 5})], "equal"),
    ("a smaller kernel", [("kernel.Kernel", {"on": "blocks.0.conv", "kernel": 1})],
     "blocks.0.conv.weight is smaller."),
    ("a convolution is inserted", [("insert.Insert", {
        "on": "stem", "insert": {"_target_": "torch.nn.Conv2d", "_partial_": True,
                                 "kernel_size": 3, "padding": 1}})], "equal"),
    ("a norm is inserted", [("insert.Insert", {"on": "stem", "insert": "BatchNorm2d"})], "equal"),
    ("an activation is inserted", [("insert.Insert", {"on": "stem", "insert": "ReLU"})],
     "stem_relu is not identity-like."),
    ("a block is repeated", [("depth.Depth", {"on": "blocks", "depth": 3})],
     "is one of several copies"),
    ("a block is dropped", [("depth.Depth", {"on": "blocks", "depth": 1})],
     "blocks.1 (Block) was removed."),
    ("wide and less", [("remove.Remove", {"on": "blocks.0.act", "remove": True}),
                       ("width.Width", {"on": "stem", "width": 2.0})],
     "blocks.0.act (Tanh) was removed."),
]  # fmt: skip


@pytest.mark.parametrize(("mutators", "said"), [case[1:] for case in CLAIMS],
                         ids=[case[0] for case in CLAIMS])  # fmt: skip
def test_what_changes_outputs_is_said_and_what_does_not_is_equal(mutators, said, tmp_path):
    found = inherited({"_target_": "halves.Blocks"}, *mutators, folder=tmp_path)
    line = found.report.splitlines()[1]
    assert said in line and "WARNING" not in line, found.report
    assert (found.preserved == 1) == (found.off < 2e-5) == (said == "equal"), found


@pytest.mark.parametrize(("given", "why"), [
    ({"noise": True}, ""), ({"bad": True}, "the expected outputs are not finite"),
    ({"counts": True}, ""),
])  # fmt: skip
def test_random_numbers_and_counters_of_a_model_do_not_disturb_the_comparison(given, why, tmp_path):
    node = {"_target_": "halves.Blocks", **given}
    wide = ("width.Width", {"on": "stem", "width": 2.0})
    found = inherited(node, wide, folder=tmp_path)
    line = found.report.splitlines()[1]
    if why:
        assert line == f"not compared with the base model: {why}." and found.preserved is None
    else:
        assert line.startswith("equal") and found.preserved == 1


def test_outputs_are_taken_without_a_trace():
    torch.manual_seed(0)
    model = halves.Blocks(counts=True).train()
    model.stem.eval()
    before, state = {n: t.clone() for n, t in model.state_dict().items()}, torch.get_rng_state()
    one, other = outputs(model, (3, 8, 8)), outputs(model, (3, 8, 8))
    assert torch.equal(one[0], other[0]) and torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(t, before[n]) for n, t in model.state_dict().items())
    assert not model.stem.training and model.blocks.training
    for shape, why in ((None, "unknown"), ((7, 8, 8), "raises RuntimeError")):
        with pytest.raises(NotCompared, match=why):
            outputs(model, shape)


@pytest.mark.parametrize(("found", "equal", "why"), [
    ([[1.0, 2.0]], True, ""), ([[1.0, 2.000001]], True, ""), ([[1.0, 2.001]], False, ""),
    ([[float("nan"), 2.0]], False, ""), ([[1.0]], False, "tensors of"), ([], False, "returns"),
])  # fmt: skip
def test_outputs_are_equal_but_for_rounding(found, equal, why):
    verdict = compared([torch.tensor(t) for t in found], [torch.tensor([1.0, 2.0])])
    assert verdict.equal == equal and why in verdict.why and bool(why) == (verdict.off is None)
