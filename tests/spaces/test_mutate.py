"""`space=mutate` as its users run it: searches of models that are there, from a config alone."""

import pytest
import vision

import runner
from runner.engines.model_space import ModelSpace

SMALL = ["data.shape=[3,16,16]", "data.validation=0.8"]
QUICK = ["training=inline", "training.device=cpu", "strategy=random", "evaluator.epochs=1",
         "budget.trials=3", "export.top=1"]  # fmt: skip


@pytest.fixture(autouse=True)
def torchvision():
    return vision.torchvision()


@pytest.mark.exhaustive
def test_the_recipe_searches_a_model_of_torchvision_with_every_mutator(tmp_path):
    run = runner.run([*QUICK, "experiment=mutate_resnet", *SMALL], tmp_path)
    done = [trial for trial in run.trials if not trial.refused]
    assert len(done) == 3 and all(trial.scored for trial in done)
    words = {label.split("/")[0] for label in run.best.sample}
    assert words == {"depth", "width", "kernel", "replace", "insert", "bypass", "skip", "remove"}
    source = (tmp_path / "top" / "1" / "model.py").read_text()
    assert "maxpool" not in source
    model = run.model(run.best)
    assert type(model).__name__ == "ResNet"


def test_any_function_that_gives_a_model_can_be_searched_and_the_run_goes_on(tmp_path):
    renew = "{_target_: mutable.Renew, class: ReLU, names: [ReLU, SiLU], tie: true}"
    given = ["engine=base", "space=mutate", "space.model._target_=torchvision.models.squeezenet1_1",
             "space.model.num_classes=10", f"space.mutators=[{renew}]", "trust=[mutable]",
             "data.shape=[3,24,24]", "data.validation=0.9", "budget.trials=1"]  # fmt: skip
    run = runner.run([*QUICK, *given], tmp_path)
    assert run.best.sample.keys() == {"renew/ReLU"}
    again = runner.run([f"resume={tmp_path}", "budget.trials=2"])
    assert len(again.trials) == 2 and again.trials[0] == run.trials[0]


def test_a_model_that_asks_nothing_is_built_once():
    space = ModelSpace({"_target_": "torchvision.models.resnet18"}, ())
    assert space.default() == {}
    space.node = {}  # which could not be built
    assert space.default() == {}
