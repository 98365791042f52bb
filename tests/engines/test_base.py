"""Engine base: graphs are mutated, and every trial has source of its own."""

import ast
import logging
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch

from runner import nn
from runner.config.mutator_entries import Places
from runner.engines.base import BaseEngine
from runner.engines.cgo import CgoEngine
from runner.engines.py import PyEngine
from runner.engines.refusals import refusals
from runner.errors import ConfigError, Refused
from runner.graph import Mutator, Unit
from runner.space.sample import generator
from runner.trial import Trial

ROOT = Path(__file__).parents[2]
IMAGE = torch.randn(3, 1, 8, 8)


def engine(*mutators, shape=(1, 8, 8), target="mutable.ConvNet", **arguments) -> BaseEngine:
    nodes = [{"_target_": f"mutable.{m}"} if isinstance(m, str) else m for m in mutators]
    space = {"_target_": target, **arguments}
    return BaseEngine(shape, space=space, mutators=nodes, trust=["mutable", "random_spaces", "toy"])


ACTIVATIONS = {"_target_": "mutable.Activations", "names": ["ReLU", "GELU", "SiLU"]}


def built(made: BaseEngine, sample, folder=None):
    [job] = made.plan([Trial(7, sample, 0)])
    return made.build(job.recipes[0], folder)


def test_a_mutator_asks_conditionally_and_what_it_asks_is_part_of_the_space():
    made = engine(ACTIVATIONS)
    assert made.space.default() == {"width": 4, "tied": True, "activation": "ReLU"}
    apart = made.space.draw(lambda c: False if c.label == "tied" else c.default)
    assert [*apart] == ["width", "tied", "Activations/1", "Activations/2"]
    assert made.space.count() == 2 * (3 + 3 * 3)
    assert len([*made.space.enumerate()]) == 24


def test_a_mutated_model_is_what_the_sample_says():
    made = engine(ACTIVATIONS)
    sample = {"width": 6, "tied": False, "Activations/1": "GELU", "Activations/2": "SiLU"}
    model = built(made, sample)
    names = [type(block.relu).__name__ for block in model.blocks]
    assert names == ["GELU", "SiLU"]
    assert model(IMAGE).shape == (3, 10)


def test_the_graph_of_the_space_stays_as_it_is_and_samples_do_not_meet():
    made = engine(ACTIVATIONS, "Fill", "Scale")
    samples = [made.space.random(generator(i)) for i in range(12)]
    first = [made.source(Trial(0, sample, 0)).text for sample in samples]
    again = [made.source(Trial(0, sample, 0)).text for sample in reversed(samples)]
    assert first == again[::-1]
    fresh = engine(ACTIVATIONS, "Fill", "Scale")
    assert first == [fresh.source(Trial(0, sample, 0)).text for sample in samples]


def test_mutators_work_in_sequence_and_their_history_is_kept():
    made = engine(ACTIVATIONS, "Fill", "Scale")
    sample = made.space.draw(lambda c: c.values(3)[-1])
    assert {"width", "tied", "fill/blocks.0.spot", "factor"} <= sample.keys()
    history = made.graph(sample).history
    assert [line.partition(":")[0] for line in history] == ["Activations", "Fill", "Scale"]
    assert "factor=1.5" in history[2]
    model = built(made, sample)
    assert isinstance(model.blocks[0].spot, torch.nn.BatchNorm2d)
    assert "* 1.5" in made.source(Trial(0, sample, 0)).text


def test_two_mutators_of_one_class_number_their_choices_apart():
    made = engine(ACTIVATIONS, ACTIVATIONS | {"names": ["ReLU", "Tanh"]})
    apart = made.space.draw(lambda c: False if c.label == "tied" else c.values()[-1])
    assert {"Activations/1", "Activations/2"} <= apart.keys()


def test_a_placeholder_nobody_filled_is_an_identity():
    model = built(engine(), {"width": 4})
    assert isinstance(model.blocks[0].spot, torch.nn.Identity)


def test_a_mutation_that_does_not_fit_is_refused_with_place_and_shapes():
    made = engine("Widen")
    assert made.key({"width": 4, "stem": None})
    with pytest.raises(Refused, match=r"blocks\.0\.conv.*5"):
        made.key({"width": 4, "stem": 5})
    with pytest.raises(Refused):  # again, from what is kept of it
        made.key({"width": 4, "stem": 5})


def test_a_mutator_can_refuse_by_itself():
    made = engine("Careful")
    assert made.space.contains({"width": 4, "absurd": False})
    with pytest.raises(Refused, match="Careful does not fit: There is nothing to be absurd about"):
        made.key({"width": 4, "absurd": True})


def test_samples_of_equal_source_have_one_key_and_hyperparameters_tell_them_apart():
    made = engine(ACTIVATIONS)
    tied = {"width": 4, "tied": True, "activation": "GELU"}
    apart = {"width": 4, "tied": False, "Activations/1": "GELU", "Activations/2": "GELU"}
    assert made.key(tied) == made.key(apart)
    assert made.key(tied) != made.key({**tied, "width": 6})
    assert made.key({**tied, "evaluator.lr": 0.1}) != made.key({**tied, "evaluator.lr": 0.2})


def test_a_trial_leaves_its_source_in_its_folder(tmp_path):
    made = engine(ACTIVATIONS)
    sample = {"width": 4, "tied": True, "activation": "SiLU"}
    built(made, sample, tmp_path)
    text = (tmp_path / "trials" / "0007" / "model.py").read_text()
    names: dict = {}
    exec(text, names)
    assert names["build"]()(IMAGE).shape == (3, 10)
    assert "trial    7\nsample   width: 4\n         tied: True\n" in names["__doc__"]
    assert f"run      {tmp_path.name}\n" in names["__doc__"]


def test_standalone_source_imports_nothing_but_torch():
    made = engine("Fill")
    for i in range(4):
        sample = made.space.random(generator(i))
        tree = ast.parse(made.source(Trial(0, sample, 0), standalone=True).text)
        modules = [n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)]
        modules += [a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names]
        assert {module.split(".")[0] for module in modules} == {"torch"}


def test_a_space_whose_python_needs_a_choice_is_converted_for_each_sample(caplog):
    made = BaseEngine(space={"_target_": "toy.Net"}, trust=["toy"])
    with caplog.at_level(logging.INFO):
        for i in range(5):
            sample = made.space.random(generator(i))
            model = built(made, sample)
            expected = PyEngine(space={"_target_": "toy.Net"}, trust=["toy"])
            [job] = expected.plan([Trial(0, sample, 0)])
            other = expected.build(job.recipes[0])
            model.load_state_dict(other.state_dict())
            x = torch.randn(2, 3)
            assert torch.equal(model(x), other(x))
    assert len([r for r in caplog.records if "for every sample" in r.message]) == 1


@pytest.mark.parametrize("name", ["Derived", "Asking"])
def test_a_space_that_looks_into_what_is_open_is_found_out(name, caplog):
    space = {"_target_": f"mutable.{name}"}
    made, expected = (e(space=space, trust=["mutable"]) for e in (BaseEngine, PyEngine))
    with caplog.at_level(logging.INFO):
        for sample in expected.space.enumerate():
            model = built(made, sample)
            [job] = expected.plan([Trial(0, sample, 0)])
            other = expected.build(job.recipes[0])
            model.load_state_dict(other.state_dict())
            assert torch.equal(model(IMAGE), other(IMAGE))
    assert len([r for r in caplog.records if "for every sample" in r.message]) == 1


def test_a_sample_whose_own_code_raises_is_planned_and_fails_as_in_engine_py():
    made = BaseEngine(space={"_target_": "toy.Fragile"}, trust=["toy"])
    assert made.key({"a": 2})
    with pytest.raises(ValueError, match="no such net"):
        built(made, {"a": 2})


RENEW = {"_target_": "mutable.Renew", "names": ["ReLU", "GELU"], "cls": "ReLU", "tie": True}


def given(made=BaseEngine, **beside):
    """An engine over a model of a space of any model, and what stands beside it."""
    space = {"_target_": "spaces.mutate.existing", "model": {"_target_": "mutable.ConvNet"}}
    return made(space=space, trust=["mutable"], **beside)


def test_any_model_is_a_space_with_its_own_choices_and_those_of_mutators():
    made = given(mutators=[RENEW], input=[1, 8, 8])
    sample = {"width": 6, "renew/ReLU": "GELU"}
    assert made.space.contains(sample) and made.space.count() == 4
    model = built(made, sample)
    assert [type(block.relu).__name__ for block in model.blocks] == ["GELU", "GELU"]
    assert model(IMAGE).shape == (3, 10)


@pytest.mark.parametrize("kind", [partial(BaseEngine, [3, 4, 4]), partial(CgoEngine, 2, [3, 4, 4])])
def test_mutators_know_the_shape_of_an_example_and_that_of_the_space_goes_first(kind):
    example = {"_target_": "mutable.Example"}
    assert given(kind, mutators=[example], input=[1, 8, 8]).space.default()["example"] == [1, 8, 8]
    assert given(mutators=[example]).space.default()["example"] is None


@pytest.mark.parametrize(
    ("beside", "key"),
    [
        ({"input": [3, 8, 8]}, "space.input"),
        ({"input": [3, 8, 8], "mutators": [RENEW]}, "space.input"),
        ({"made": partial(BaseEngine, [3, 8, 8]), "mutators": [RENEW]}, "engine.shape"),
    ],
)
def test_an_example_that_the_model_does_not_take_is_an_error_of_the_config(beside, key):
    made = given(**beside)
    with pytest.raises(ConfigError, match=rf"{key} is \[3, 8, 8\], which the model.*stem.*3, 8, 8"):
        made.key(made.space.default())


def test_engines_tell_where_mutators_work():
    scale = {"_target_": "mutable.Scale"}
    gone = {**RENEW, "names": ["Tanh"], "on": "blocks.0.*", "tie": False}
    made = given(mutators=[scale, gone, RENEW])
    assert made.places() == [
        Places("Scale", None, tied=False),
        Places("renew", ["blocks.0.relu"], tied=False),
        Places("renew", ["blocks.1.relu"], tied=True),
    ]
    assert given(partial(CgoEngine, 2, [1, 8, 8]), mutators=[RENEW]).places()[0].tied
    assert [*given().places()] == [*given(PyEngine).places()] == []


def test_why_random_samples_are_refused():
    made = given(mutators=[{**RENEW, "names": ["ReLU", "Linear"], "tie": False}])
    why = refusals(made, range(12))
    assert 0 < len(why) < 12 and {text.split(" cannot")[0] for text in why} == {
        f"Renew does not fit: blocks.{i}.relu" for i in (0, 1)
    }
    assert why == refusals(made, range(12))
    assert refusals(engine("Widen"), range(4)) and not refusals(given(PyEngine), range(4))


def test_what_is_no_mutator_is_refused():
    with pytest.raises(ConfigError, match="which is not a Mutator"):
        engine({"_target_": "torch.nn.ReLU"})


def test_mutators_need_an_engine_that_makes_graphs():
    with pytest.raises(ConfigError, match="engine=base"):
        PyEngine(space={"_target_": "toy.Net"}, mutators=[ACTIVATIONS], trust=["toy"])


SCRIPT = """
from runner.engines.base import BaseEngine
from runner.trial import Trial
from runner.graph import Mutator, Unit
from runner.space.sample import generator

for name in ("cell.CellNet", "transformer.Transformer", "mobilenet.MobileNet"):
    engine = BaseEngine(space={"_target_": f"spaces.{name}"})
    for standalone in (False, True):
        trial = Trial(0, engine.space.random(generator(3)), 0)
        print(engine.source(trial, standalone=standalone).text)
"""


def test_source_is_the_same_in_every_process():
    texts = [
        subprocess.run(
            [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    ]  # fmt: skip
    assert texts[0] == texts[1]
    assert texts[0].count("def build():") == 6


def test_source_reads_as_a_person_would_write_it():
    made = BaseEngine(space={"_target_": "spaces.transformer.Transformer"})
    sample = {
        "width": 64, "depth": 2, "dropout": 0.1, "block0/heads": 8, "block0/ratio": 3,
        "block1/heads": 4, "block1/ratio": 2,
    }  # fmt: skip
    assert made.source(Trial(0, sample, 0), standalone=True).text == TRANSFORMER


TRANSFORMER = """\
import torch
from torch import nn


class Block(nn.Module):
    def __init__(self, num_heads: int, out_features: int):
        super().__init__()
        self.norm1 = nn.LayerNorm(64)
        self.attention = nn.MultiheadAttention(64, num_heads, batch_first=True)
        self.drop = nn.Dropout(0.1)
        self.mlp = nn.Sequential(
            nn.LayerNorm(64),
            nn.Linear(64, out_features),
            nn.GELU(),
            nn.Linear(out_features, 64),
            nn.Dropout(0.1),
        )

    def forward(self, x):
        y = self.norm1(x)
        y, _ = self.attention(y, y, y, need_weights=False)
        x = x + self.drop(y)
        return x + self.mlp(x)


class Transformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Conv2d(1, 64, 2, 2)
        self.position = nn.Conv2d(64, 64, 3, padding=1, groups=64)
        self.blocks = nn.Sequential(Block(8, 192), Block(4, 128))
        self.norm = nn.LayerNorm(64)
        self.head = nn.Linear(64, 10)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, x):
        x = self.embed(x)
        x = x + self.position(x)
        x = x.flatten(2).transpose(1, 2)
        x = self.norm(self.blocks(x))
        return self.head(x.mean(1))


def build():
    return Transformer()
"""


@pytest.mark.parametrize("make", [BaseEngine, partial(CgoEngine, 2)])
def test_what_reads_the_models_is_checked_before_any_is_built(make):
    space = {"_target_": "mutable.ConvNet"}
    with pytest.raises(ConfigError, match=r"engine\.frontend is 'fx'; it must be one of auto, "):
        make((1, 8, 8), "fx", space=space, trust=["mutable"])
    made = make((1, 8, 8), "torchscript", space=space, trust=["mutable"])
    assert made.compiled(made.space.default()).frontend == "torchscript"


class Anchored(torch.nn.Module):
    """Fits only once something takes the place of its placeholder."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = torch.nn.Linear(64, 32)
        self.middle = nn.Placeholder("middle")
        self.head = torch.nn.Linear(16, 10)

    def forward(self, x):
        return self.head(self.middle(self.stem(x.flatten(1))))


class Narrows(Mutator):
    """Fills the placeholder."""

    def mutate(self, graph):
        for path, _ in graph.units(label="middle"):
            name = self.choice({"relu": "ReLU", "tanh": "Tanh"}, label="act")
            act = Unit.of(f"torch.nn:{name}")
            narrow = Unit.of("torch.nn:Linear", 32, 16)
            graph.replace(path, Unit.of("torch.nn:Sequential", narrow, act))


def test_a_placeholder_whose_identity_does_not_fit_says_which_check_to_leave_out():
    def anchored(**given):
        node = {"_target_": f"{__name__}.Anchored"}
        mutators = [{"_target_": f"{__name__}.Narrows"}]
        return BaseEngine(space=node, mutators=mutators, trust=[__name__], **given)

    for given, key in (("shape", "engine.shape"), ("input", "space.input")):
        with pytest.raises(ConfigError, match=rf"a mutator replaces 'middle'.*set {key}=null"):
            anchored(**{given: [1, 8, 8]}).space.default()
    made = anchored()
    for sample in made.space.enumerate():
        [job] = made.plan([Trial(0, sample, 0)])
        assert made.build(job.recipes[0])(torch.zeros(2, 1, 8, 8)).shape == (2, 10)
