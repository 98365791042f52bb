"""engine=py writes the model of a sample as source that stands alone."""

import ast

import pytest
import torch

from runner.engines.built_model import written_model
from runner.engines.example import Example
from runner.engines.py import PyEngine
from runner.engines.standalone import imported_own
from runner.errors import ConfigError
from runner.graph.codegen.load import load_source
from runner.space.sample import generator
from runner.trial import Trial

SHAPE = (1, 8, 8)
TARGETS = ["mlp.MLP", "resnet.ResNet", "cell.CellNet", "mobilenet.MobileNet",
           "transformer.Transformer"]  # fmt: skip


@pytest.mark.parametrize("target", TARGETS)
def test_the_source_of_a_sample_makes_its_model(target):
    made = PyEngine(
        space={"_target_": f"spaces.{target}"},
        data={"_target_": "runner.data.bundled.Digits", "shape": [*SHAPE], "classes": 10},
    )
    sample = made.space.random(generator(0, "sample", 0))
    source = made.source(Trial(0, sample, 0), standalone=True)
    assert not [*imported_own(source.text)] and source.constants is None
    model, twin = made.build(made.recipe_of(sample)), load_source(source.text).build()
    assert [*twin.state_dict()] == [*model.state_dict()]
    twin.load_state_dict(model.state_dict())
    x = torch.randn(2, *SHAPE)
    assert torch.equal(twin.eval()(x), model.eval()(x))


MLP = """\
import torch
from torch import nn


class MLP(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Sequential(nn.Linear(64, 32), nn.LayerNorm(32), nn.GELU(), nn.Dropout(0.1)),
            nn.Linear(32, 10),
        )

    def forward(self, x):
        return self.layers(x.flatten(1))


def build():
    return MLP()
"""


def test_values_of_choices_are_plain_numbers_in_it():
    sample = {"dropout": 0.1, "depth": "1", "layer0/width": 32, "norm": "layer",
              "activation": "gelu"}  # fmt: skip
    found = written_model({"_target_": "spaces.mlp.MLP"}, (), sample, Example(SHAPE))
    assert found.text == MLP


def test_what_a_search_warns_of_costs_no_conversion_where_all_can_travel(monkeypatch):
    def never(*given):
        raise AssertionError("the model was converted")

    monkeypatch.setattr("runner.engines.built_model.written_model", never)
    for target in TARGETS:
        made = PyEngine(space={"_target_": f"spaces.{target}"})
        made.check_source(made.space.default())


def test_a_class_without_a_file_is_told_before_the_search(monkeypatch):
    made = PyEngine(space={"_target_": "asking.MaybeNothing"}, trust=["asking"])
    space = {"__name__": "asking"}
    text = "class Made(nn.Module):\n    def forward(self, x):\n        return eval('x')\n"
    exec("from runner import nn\n" + text, space)  # as in a notebook
    monkeypatch.setattr("asking.Made", space["Made"], raising=False)
    made = PyEngine(space={"_target_": "asking.Made"}, trust=["asking"])
    with pytest.raises(ConfigError) as raised:
        made.check_source(made.space.default())
    said = str(raised.value)
    assert "\n" not in said and "export.source=import" in said and "asking:Made" in said


def test_source_with_imports_is_the_short_form():
    made = PyEngine(space={"_target_": "spaces.mlp.MLP"})
    text = made.source(Trial(0, made.space.default(), 0)).text
    assert "from spaces.mlp import MLP" in text and "from runner.nn import sample" in text
    assert len([n for n in ast.parse(text).body if isinstance(n, ast.ClassDef)]) == 0


@pytest.mark.parametrize(
    ("target", "sample", "reason"),
    [
        ("OfLocalClass", {"n": 4, "local": True},
         "since it does more than its forward: in 'local', its class cannot be imported by source"),
        ("OfLocalClass", {"n": 8, "local": True},
         r"It is kept since local \(local\.<locals>\.Local\): its class cannot be imported"),
        ("Hooked", {"n": 4}, "adds the hook '<lambda>' to 'head'; and Hooked"),
        ("Hooked", {"n": 8}, r"It is kept since head \(Sequential\): .* the hook '<lambda>'"),
    ],
)  # fmt: skip
def test_what_cannot_be_written_is_told_with_its_reason(target, sample, reason):
    made = PyEngine(
        space={"_target_": f"unwritable.{target}"},
        trust=["unwritable"],
        data={"_target_": "runner.data.bundled.Digits", "shape": [*SHAPE], "classes": 10},
    )
    with pytest.raises(ConfigError, match=reason) as raised:
        made.source(Trial(0, sample, 0), standalone=True)
    assert "engine=py" not in str(raised.value)
