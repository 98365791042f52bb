"""`task=replay` runs a trial exactly as it ran, and says where it differs."""

import shutil
import sqlite3
from pathlib import Path

import pytest
from records import BEGUN, PROPOSED, STARTED, write
from searches import MLP

import runner
from runner.errors import ConfigError, RunFailed
from runner.store import RECORD

FAST = ["training=inline", "training.device=cpu"]


def replayed(output, folder: Path, trial: object = "best", *more: str) -> str:
    output.seek(0)
    output.truncate()
    runner.run(["task=replay", f"run={folder}", f"trial={trial}", *FAST, *more])
    return output.getvalue()


@pytest.mark.parametrize("trial", range(4))
def test_a_trial_comes_out_bit_by_bit_and_nothing_is_written(trial, searched, output):
    before = sorted((p, p.stat().st_mtime_ns) for p in searched.rglob("*"))
    said = replayed(output, searched, trial)
    assert said == (
        f"Trial {trial} of {searched}, run again on cpu: 2 reports are all equal bit by bit.\n"
    )
    assert sorted((p, p.stat().st_mtime_ns) for p in searched.rglob("*")) == before


KINDS = {
    "graph": ["engine=base"],
    "fused": ["engine=cgo", "engine.group=4"],
    "searched too": ["search={evaluator.lr: [0.1, 0.01], evaluator.epochs: [1, 3]}"],
    "rungs": ["strategy=asha", "fidelity={key: evaluator.epochs, min: 1, max: 4, eta: 2}",
              "budget.trials=6"],
    "stopped": ["stopper=threshold", "stopper.pruner.lower=0.99"],
    "repeated": ["repeat=2", "budget.trials=2"],
    "inherited": ["engine=base", "space=mutate", "space.model._target_=spaces.mlp.MLP",
                  "space.model.activations=[relu]", "space.model.depths=[2]",
                  "space.weights=inherit",
                  "export.keep_weights=null", "budget.trials=5",
                  "strategy=evolution", "strategy.population_size=2", "strategy.sample_size=2",
                  "space.mutators=[{class: ReLU, replace: [ReLU, GELU, SiLU]}]"],
}  # fmt: skip


@pytest.mark.sampled(3)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_trial_comes_out_as_it_did(kind, tmp_path, output):
    run = runner.run([*MLP, "budget.trials=4", "export.top=0", *KINDS[kind]], tmp_path / "run")
    own = [trial for trial in run.trials if trial.duplicate_of is None and trial.step]
    last = own[-1]
    if kind == "inherited":
        assert last.parent is not None
    said = replayed(output, run.folder, last.number)
    assert said.startswith(f"Trial {last.number} of ")
    if kind == "fused" and "differs" in said:
        assert "It was trained in a group" in said
    else:
        assert f"{last.step} report" in said and "equal bit by bit" in said


def changed(folder: Path, to: Path, trial: int) -> Path:
    """A copy of a run whose record says otherwise of one trial, with valid checksums."""
    shutil.copytree(folder, to)
    db = sqlite3.connect(to / RECORD)
    rows = db.execute("select kind, trial, data, time from events order by id").fetchall()
    db.close()
    (to / RECORD).unlink()
    events = []
    for kind, number, data, at in rows:
        if kind == "metrics" and number == trial:
            data = data.replace('"val/loss": ', '"val/loss": 1')
        events.append((kind, number, data, at))
    write(to, *events)
    return to


def test_a_trial_that_comes_out_otherwise_is_an_error_on_a_cpu(searched, tmp_path, output):
    other = changed(searched, tmp_path / "other", 1)
    with pytest.raises(RunFailed, match=r"^Trial 1 of .* differs in 1 metric of 2 reports"):
        replayed(output, other, 1)
    head, row = output.getvalue().splitlines()
    assert head.split()[0] == "metric" and row.split()[:2] == ["val/loss", "1"]
    assert "equal bit by bit" in replayed(output, other, 2)


def test_a_failure_is_compared_too(tmp_path, output):
    toy = ["trust=[toy]", "space._target_=toy.Net", "evaluator._target_=toy.Arithmetic",
           "evaluator.epochs=1", "evaluator.lr=0.5", "+evaluator.sleep=0", "strategy=random",
           "data._target_=toy.Nothing", "data.shape=[1]", "data.classes=2", *FAST,
           "budget.trials=1", "export.top=0"]  # fmt: skip
    run = runner.run(toy, tmp_path / "run")
    assert "equal bit by bit" in replayed(output, run.folder, 0, "trust=[toy]")


def test_what_cannot_run_again_is_said(tmp_path):
    refused = ("failed", 0, {"reason": "refused", "text": "too big"})
    write(tmp_path / "a", BEGUN, PROPOSED, refused)
    write(tmp_path / "b", BEGUN, PROPOSED, STARTED)
    for name, text in (("a", "was refused, and never ran"), ("b", "is running")):
        with pytest.raises(ConfigError, match=f"Trial 0 {text}"):
            runner.run(["task=replay", f"run={tmp_path / name}", "trial=0", "trust=[toy]", *FAST])


def test_a_config_that_is_not_trusted_is_not_run(tmp_path):
    write(tmp_path / "a", BEGUN, PROPOSED, STARTED)
    with pytest.raises(ConfigError, match=r"was not made by this user"):
        runner.run(["task=replay", f"run={tmp_path / 'a'}", "trial=0"])


def test_another_config_is_refused(searched):
    with pytest.raises(ConfigError, match="task=replay does not depend on it"):
        runner.run(["task=replay", f"run={searched}", "evaluator.lr=1"])
