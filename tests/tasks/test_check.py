"""`task=check` finds what would fail in a search, before it begins."""

import re

import pytest
from searches import MLP

import runner
from runner.errors import ConfigError, RunFailed

TOY = ["trust=[toy,faults]", "evaluator=classification", "data=digits", "training=inline",
       "training.device=cpu", "task=check", "strategy=random"]  # fmt: skip


def test_a_search_that_works_is_estimated(tmp_path, output):
    runner.run([*MLP, "task=check", "task.samples=4", "budget.trials=50"], tmp_path / "x")
    said = output.getvalue()
    assert said.startswith("4 samples for a step each on cpu: 4 work.\n")
    found = re.search(
        r"A step takes (\S+) (us|ms|s), a trial .*; 50 trials, 1 at once: about", said
    )
    assert found and float(found[1]) > 0
    assert re.search(r"Peak memory of a worker: \S+ [MG]B\.", said)
    assert not (tmp_path / "x").exists(), "nothing is left of what works"


@pytest.mark.parametrize("engine", ["py", "base"])
def test_what_fails_is_shown_with_its_place(engine, tmp_path, output):
    picky = ["trust=[checked]", "space._target_=checked.Picky", f"engine={engine}"]
    with pytest.raises(RunFailed, match="of 6 samples fail"):
        runner.run([*MLP, *picky, "task=check", "task.samples=6"], tmp_path / "x")
    said = output.getvalue()
    assert "6 samples for a step each on cpu:" in said and "fail" in said.splitlines()[0]
    file = "checked.py" if engine == "py" else "model.py"
    assert re.search(rf"width 3 is odd \(\S+/{file}:\d+\)", said)
    [trace] = re.findall(r"traceback in (\S+)", said)[:1]
    assert (
        "width 3 is odd" in (tmp_path / "x" / "check").joinpath(*trace.split("/")[-3:]).read_text()
    )


def test_refused_samples_do_not_fail(tmp_path, output):
    refusing = ["trust=[checked]", "space._target_=checked.Refusing"]
    runner.run([*MLP, *refusing, "task=check", "task.samples=6"], tmp_path / "x")
    assert re.match(
        r"\d samples for a step each on cpu: \d work, \d are refused\.", output.getvalue()
    )


def test_searched_hyper_parameters_are_drawn_too_and_rungs_are_trained_whole(tmp_path, output):
    runner.run([*MLP, "task=check", "task.samples=3", "strategy=asha",
                "fidelity={key: evaluator.epochs, min: 1, max: 4, eta: 2}",
                "search={evaluator.lr: [0.1, 0.01]}"], tmp_path / "x")  # fmt: skip
    assert "at most, since trials end early" in output.getvalue()


def test_each_sample_is_tried_on_as_many_devices_as_in_a_search(tmp_path, output):
    """Where activation checkpointing of batch normalization is refused."""
    several = ["training=local", "training.device=cpu", "training.workers=1",
               "training.devices_per_trial=2", "trust=[checked]", "budget.trials=50",
               "space._target_=checked.Recomputing", "task=check", "task.samples=6"]  # fmt: skip
    with pytest.raises(RunFailed, match="1 of 2 samples fail"):
        runner.run([*MLP, *several], tmp_path / "x")
    said = output.getvalue()
    assert said.startswith("2 samples for a step each on cpu, on 2 devices together: 1 work, 1 fai")
    assert "normalization again in its backward pass" in " ".join(said.split())
    assert "such as norm=true" in said and "A step takes" in said
    assert "Peak memory of the first of 2 devices of a worker: " in said


def test_bad_input_is_said_first(tmp_path):
    with pytest.raises(ConfigError, match=r"task\.samples is 0"):
        runner.run([*MLP, "task=check", "task.samples=0"], tmp_path / "x")
    with pytest.raises(ConfigError, match="objective"):
        runner.run([*MLP, "task=check", "objective.metric=nope"], tmp_path / "x")
