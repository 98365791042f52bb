"""An export that differs in state that no weights hold is told which state that is."""

from types import ModuleType

import pytest
import torch
import unwritable
from unwritable import Drawn

import runner
from runner.errors import GraphError, RunFailed
from runner.unsaved_state import unsaved_difference


def rebuilt(model):
    other = torch.nn.Sequential(Drawn())
    other.load_state_dict(model.state_dict())
    return other


def test_attributes_and_buffers_that_are_not_saved_are_named():
    model = torch.nn.Sequential(Drawn())
    other = rebuilt(model)
    found = unsaved_difference(model, other, ModuleType("model"))
    assert found.startswith("the attributes 0.mask, 0.scale, 0.shift differ: ")
    assert "self.register_buffer" in found and "kept" not in found
    other[0].mask, other[0].scale = model[0].mask.clone(), model[0].scale
    assert "attribute 0.shift differs" in unsaved_difference(model, other, ModuleType("model"))
    other[0].shift = model[0].shift
    assert not unsaved_difference(model, other, ModuleType("model"))


@pytest.mark.parametrize("value", [2.0, torch.ones(3), "a"])
def test_constants_of_a_module_are_named(monkeypatch, value):
    model = torch.nn.Sequential(Drawn())
    source = ModuleType("model")
    source.SCALE = 1.0 if isinstance(value, float) else value * 2
    source.torch, source.Drawn = 3, "another"  # of other kinds, which cannot be compared
    monkeypatch.setattr(unwritable, "SCALE", value, raising=False)
    found = unsaved_difference(model, model, source)
    assert found.startswith("the constant SCALE of unwritable differs: ")
    source.SCALE = value
    assert not unsaved_difference(model, model, source)


def test_a_search_whose_models_differ_whenever_they_are_built_says_why(tmp_path, capsys):
    given = ["space=mlp", "space._target_=unwritable.Redrawn", "~space.depths", "~space.widths",
             "~space.activations", "~space.norms", "~space.dropouts", "trust=[unwritable]",
             "engine=py", "strategy=grid", "evaluator.epochs=1", "budget.trials=1", "export.top=1",
             "training=inline", "training.device=cpu"]  # fmt: skip
    with pytest.raises(RunFailed, match="No model was exported"):
        runner.run(given, folder=tmp_path / "run")
    out = capsys.readouterr().out
    [line] = [line for line in out.splitlines() if "is not exported" in line]
    assert "attributes drawn.mask, drawn.scale, drawn.shift differ: weights do not hold" in line


def test_a_graph_engine_names_the_state_before_it_trains_anything(tmp_path):
    given = ["space=mlp", "space._target_=unwritable.Redrawn", "~space.depths", "~space.widths",
             "~space.activations", "~space.norms", "~space.dropouts", "trust=[unwritable]",
             "engine=base", "training=inline", "training.device=cpu"]  # fmt: skip
    with pytest.raises(GraphError, match="attributes mask, scale, shift differ: weights do not"):
        runner.run(given, folder=tmp_path / "run")
    assert not [*tmp_path.glob("run/trials/*")]
