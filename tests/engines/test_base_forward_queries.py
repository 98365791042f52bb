"""Spaces whose forward asks what a choice gave, or does more than TorchScript sees: the models of
engine base do what those of engine py do, and the run says what could not be read."""

import logging

import pytest
import torch

from runner.engines.base import BaseEngine
from runner.engines.py import PyEngine
from runner.errors import ConfigError, Refused, refusal
from runner.graph.codegen.load import load_source
from runner.space.sample import DrawError
from runner.trial import Trial

X = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))


def engine(name: str, kind: type = BaseEngine, **settings: str):
    return kind(space={"_target_": f"asking.{name}"}, trust=["asking"], **settings)


def built(made, sample):
    [job] = made.plan([Trial(0, sample, 0)])
    return made.build(job.recipes[0])


@pytest.mark.parametrize(
    "name",
    [
        "MaybeNothing",
        "HoldsMaybeNothing",
        "MaybeList",
        "HandsListOn",
        "AsksOther",
        "Frozen",
        "Logged",
        "FreezesPart",
        "Filled",
        "Spare",
    ],
)
def test_every_sample_gives_what_it_gives_in_engine_py(name):
    ours, theirs = engine(name), engine(name, PyEngine)
    for sample in theirs.space.enumerate():
        model, expected = built(ours, sample), built(theirs, sample)
        model.load_state_dict(expected.state_dict())
        for training in (True, False):
            model.train(training)
            expected.train(training)
            assert torch.equal(model(X), expected(X)), sample


@pytest.mark.parametrize(
    ("name", "shells", "text"),
    [
        ("MaybeNothing", [""], "it tests the type of the result of a choice"),
        ("HoldsMaybeNothing", ["inner"], "it tests the type of the result of a choice"),
        ("MaybeList", [""], "it tests the type of the result of a choice"),
        ("AsksOther", [], ""),
        ("Frozen", [], ""),
        ("FreezesPart", [], ""),
    ],
)
def test_only_what_asks_is_kept(name, shells, text):
    made = engine(name, frontend="torchscript")
    graph = made.graph(made.space.default())
    assert [path for path, unit in graph.root.walk() if unit.grade == "shell"] == shells
    assert [note.path for note in graph.notes] == shells
    assert all(text in note.text for note in graph.notes)


@pytest.mark.parametrize("name", ["MaybeNothing", "HoldsMaybeNothing", "MaybeList", "Spare"])
def test_python_reads_what_asks(name):
    made = engine(name)
    graph = made.graph(made.space.default())
    assert not graph.notes
    assert graph.grades()["shell"] == 0


def test_what_could_not_be_read_is_logged_once_and_in_short(caplog):
    made = engine("Spare", frontend="torchscript")
    with caplog.at_level(logging.INFO, "runner.engines.conversion_log"):
        for sample in made.space.enumerate():
            made.key(sample)
    unvalidated, counts, note = [
        record.message
        for record in caplog.records
        if record.name == "runner.engines.conversion_log"
    ]
    assert "were not validated" in unvalidated
    assert counts == "asking.Spare as a graph: 2 graph, 0 shell, 3 basic."
    said = "layers.0.1 (Rest): Its forward cannot be converted. torchscript: asking.py:"
    assert note.startswith(said)
    assert note.endswith("(and at 2 more places)")


@pytest.mark.parametrize(
    ("name", "brought"),
    [("Spare", "class Rest("), ("Logged", "MODES: list[bool]"), ("UsesFunction", "def shifted(")],
)
def test_what_no_front_end_reads_comes_along_with_its_source(name, brought):
    made, theirs = engine(name, frontend="torchscript"), engine(name, PyEngine)
    trial = Trial(0, [*theirs.space.enumerate()][-1], 0)
    source = made.source(trial, standalone=True)
    assert brought in source.text and "import asking" not in source.text
    assert "from asking" not in source.text and "# From asking.py, line " in source.text
    model, expected = load_source(source.text).build(), built(theirs, trial.sample)
    model.load_state_dict(expected.state_dict())
    x = torch.randn(2, 3)
    assert torch.equal(model.eval()(x), expected.eval()(x))


@pytest.mark.parametrize("name", ["Frozen", "FreezesPart"])
def test_a_space_that_overrides_a_method_can_stand_alone(name):
    ours, theirs = engine(name), engine(name, PyEngine)
    for sample in theirs.space.enumerate():
        source = ours.source(Trial(0, sample, 0), standalone=True)
        assert "asking" not in source.text
        model, expected = load_source(source.text).build(), built(theirs, sample)
        model.load_state_dict(expected.state_dict())
        for training in (True, False, True):
            model.train(training)
            expected.train(training)
            assert torch.equal(model(X), expected(X)), sample
            modes = {path: part.training for path, part in expected.named_modules()}
            assert {path: part.training for path, part in model.named_modules()} == modes
        torch.testing.assert_close(model.state_dict(), expected.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize("kind", [PyEngine, BaseEngine])
def test_a_lazy_layer_that_is_not_filled_is_an_error_that_says_what_to_do(kind):
    with pytest.raises(ConfigError, match=r"asking.Unfilled: 'head' \(LazyLinear\) has no shapes.*"
                                          r"at the end of its __init__"):  # fmt: skip
        engine("Unfilled", kind).space.default()


@pytest.mark.parametrize("kind", [PyEngine, BaseEngine])
def test_a_sample_with_a_lazy_layer_is_refused(kind):
    space = engine("SometimesUnfilled", kind).space
    space.default()
    with pytest.raises(DrawError, match=r"'head' .* has no shapes") as caught:
        space.draw(lambda choice: choice.values()[-1])
    assert isinstance(refusal(caught.value), Refused)


def test_a_hook_that_no_graph_can_keep_is_an_error_that_says_what_to_do():
    made = engine("Doubled")
    with pytest.raises(ConfigError, match=r"head \(Linear\).*the hook.*Or run with engine=py"):
        made.key(made.space.default())
