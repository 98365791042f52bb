"""`task=retrain` trains one model of a run again, whole, and can be cut like any run."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from searches import MLP

import runner
from runner.errors import ConfigError, RunFailed
from runner.store import read
from runner.trial import CHECKPOINT, WEIGHTS

FAST = ["training=inline", "training.device=cpu"]


def retrained(folder: Path, to: Path, *overrides: str) -> runner.Run:
    run = runner.run(["task=retrain", f"run={folder}", *FAST, *overrides], to)
    assert run is not None
    return run


def test_the_best_trial_is_trained_at_another_length(searched, tmp_path, output):
    best = runner.load(searched).best
    run = retrained(searched, tmp_path / "again", "evaluator.epochs=5")
    [trial] = run.trials
    assert trial.sample == best.sample and trial.step == 5
    metrics = json.loads((run.folder / "top" / "1" / "metrics.json").read_text())
    assert metrics["val/accuracy"] == trial.metrics["val/accuracy"] and "test/accuracy" in metrics
    assert {p.name for p in (run.folder / "top" / "1").iterdir()} >= {
        "model.py", "weights.safetensors", "sample.json", "metrics.json",
    }  # fmt: skip
    assert f"Training trial {best.number} of {searched} again" in output.getvalue()
    assert run.settings.budget.trials == 1
    assert runner.load(searched).settings.budget.trials == 4, "the run is only read"


def test_it_may_start_from_the_weights_of_the_trial(searched, tmp_path, output):
    best = runner.load(searched).best
    run = retrained(searched, tmp_path / "again", "from=weights", "evaluator.lr=1e-12",
                    "evaluator.epochs=1")  # fmt: skip
    before = load_file(runner.load(searched).weights(best))
    after = load_file(run.weights(run.best))
    learned = [name for name in before if "running" not in name and "num_batches" not in name]
    assert all(torch.allclose(before[name], after[name], atol=1e-6) for name in learned)
    assert run.best.metrics["val/accuracy"] == pytest.approx(best.metrics["val/accuracy"], abs=0.05)
    assert Path(run.settings.initial_weights).parent == run.folder, "a copy of its own"


def test_a_sample_of_a_file_or_of_the_command_line_is_trained(searched, tmp_path, output):
    file = searched / "top" / "1" / "sample.json"
    by_file = retrained(searched, tmp_path / "a", f"sample={file}", "evaluator.epochs=1")
    sample = json.loads(file.read_text())
    assert by_file.best.sample == sample
    written = ", ".join(f"{label}: {json.dumps(value)}" for label, value in sample.items())
    inline = retrained(searched, tmp_path / "b", f"sample={{{written}}}", "evaluator.epochs=1")
    assert inline.best.sample == sample
    assert inline.best.metrics == by_file.best.metrics


def test_searched_hyper_parameters_are_those_of_the_trial_unless_overridden(tmp_path, output):
    run = runner.run([*MLP, "budget.trials=2", "export.top=0",
                      "search={evaluator.lr: [0.1, 0.01], evaluator.epochs: [1, 3]}"],
                     tmp_path / "run")  # fmt: skip
    best = run.best
    again = retrained(run.folder, tmp_path / "a")
    assert again.settings.evaluator["lr"] == best.sample["evaluator.lr"]
    assert again.best.step == best.sample["evaluator.epochs"]
    longer = retrained(run.folder, tmp_path / "b", "evaluator.epochs=4")
    assert longer.best.step == 4 and longer.settings.evaluator["lr"] == best.sample["evaluator.lr"]


def test_the_highest_rung_is_the_full_length_and_limits_of_the_search_are_off(tmp_path, output):
    run = runner.run([*MLP, "strategy=asha", "budget.trials=6", "export.top=0",
                      "fidelity={key: evaluator.epochs, min: 1, max: 4, eta: 2}",
                      "constraints=[val/accuracy >= 0.0]", "budget.epochs=100"],
                     tmp_path / "run")  # fmt: skip
    again = retrained(run.folder, tmp_path / "a", "trial=0")
    assert again.best.step == 4 and again.settings.constraints == []
    assert again.settings.budget.epochs is None and again.settings.fidelity is None


BAD = {
    "trial=9": "the trials of the run in .* are 0 to 3",
    "trial=worst": "It must be a number, best, or a place",
    "sample=nope.json": r"sample is 'nope\.json': No such file",
    "sample={depth: 9}": "^sample.*depth",
    "sample={deep: 1}": "^sample.*deep",
    "evaluator.epoch=3": "Did you mean 'evaluator.epochs'",
    "evaluator=nasbench201": "looks results up, so nothing can be trained",
}  # fmt: skip


def test_a_trial_and_a_sample_are_not_both_trained(searched, tmp_path):
    with pytest.raises(ConfigError, match="trial and sample are both given"):
        retrained(searched, tmp_path / "again", "trial=0", "sample={depth: '1'}")


@pytest.mark.parametrize("override", BAD)
def test_what_cannot_be_trained_is_said(override, searched, tmp_path, monkeypatch, output):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=BAD[override]) as caught:
        retrained(searched, tmp_path / "again", override)
    assert "\n" not in str(caught.value)


def test_weights_that_are_gone_and_files_that_hold_no_sample_are_said(searched, tmp_path, output):
    run = runner.run([*MLP, "budget.trials=1", "export.top=0", "export.keep_weights=0"],
                     tmp_path / "run")  # fmt: skip
    with pytest.raises(ConfigError, match="weights of trial 0 were not kept"):
        retrained(run.folder, tmp_path / "a", "from=weights")
    for content, text in (("[1]", "contains no sample"), ("{", "is no JSON")):
        (tmp_path / "x.json").write_text(content)
        with pytest.raises(ConfigError, match=text):
            retrained(run.folder, tmp_path / "a", f"sample={tmp_path / 'x.json'}")


def deadly(folder: Path, file: Path, *overrides: str) -> list[str]:
    """A training of six epochs, each of one batch, in the third of which its worker dies once; a
    batch is tried before it begins."""
    augment = f"{{_target_: toy.DiesOnce, file: {file}, at: 4}}"
    return ["task=retrain", f"run={folder}", "training=local", "training.device=cpu",
            "training.workers=1", "training.retries=0", "evaluator.epochs=6", "trust=[toy]",
            "evaluator.batch_size=2000", f"evaluator.augment={augment}", *overrides]  # fmt: skip


@pytest.mark.sampled(3)
@pytest.mark.parametrize("how", ["the same command", "resume", "weights"])
def test_a_training_whose_workers_die_too_often_goes_on(how, searched, tmp_path, output):
    more = ["from=weights"] if how == "weights" else []
    line, to = deadly(searched, tmp_path / "batches", *more), tmp_path / "again"
    with pytest.raises(RunFailed, match=r"was cut: .* SIGKILL .* training.retries=0. Continue wi"):
        runner.run(line, to)
    [trial] = read(to).trials
    assert trial.running and (to / "trials" / "0000" / CHECKPOINT).is_file()
    run = runner.run([f"resume={to}"] if how == "resume" else line, to)
    assert run.best.step == 6 and run.best.number == 0 and len(run.trials) == 1
    batches = (tmp_path / "batches").stat().st_size
    assert batches == (1 + 3) + (1 + 4), "the third epoch is trained again, and no other"
    assert not (to / "trials" / "0000" / CHECKPOINT).exists()
    with pytest.raises(ConfigError, match="contains a run already"):
        runner.run(line, to)


def test_a_training_that_was_cut_does_not_go_on_as_another(searched, tmp_path, output):
    line, to = deadly(searched, tmp_path / "batches"), tmp_path / "again"
    with pytest.raises(RunFailed):
        runner.run(line, to)
    with pytest.raises(ConfigError, match=r"contains a run already; .* continues it"):
        runner.run([*line, "evaluator.lr=0.5"], to)
    [trial] = read(to).trials
    assert trial.running


def started(folder: Path, to: Path, *overrides: str) -> subprocess.Popen:
    line = [sys.executable, "-m", "runner", "task=retrain", f"run={folder}",
            f"hydra.run.dir={to}", "training=local", "training.device=cpu", "training.workers=1",
            "evaluator.epochs=40", "evaluator.checkpoint={every: 3}", *overrides]  # fmt: skip
    return subprocess.Popen(line, stdout=subprocess.DEVNULL, start_new_session=True)


@pytest.mark.exhaustive
def test_a_killed_training_goes_on_from_its_checkpoint_bit_by_bit(searched, tmp_path):
    whole = started(searched, tmp_path / "whole")
    assert whole.wait() == 0
    cut = started(searched, tmp_path / "cut")
    checkpoint = tmp_path / "cut" / "trials" / "0000" / CHECKPOINT
    while not checkpoint.exists():
        assert cut.poll() is None
        time.sleep(0.001)
    os.killpg(cut.pid, signal.SIGKILL)
    cut.wait()
    assert read(tmp_path / "cut").trials[0].running
    reached = len(read(tmp_path / "cut").trials[0].metrics)
    assert reached
    again = subprocess.run([sys.executable, "-m", "runner", f"resume={tmp_path / 'cut'}"],
                           capture_output=True, text=True)  # fmt: skip
    assert again.returncode == 0, again.stderr
    a, b = (runner.load(tmp_path / name) for name in ("whole", "cut"))
    assert a.best.metrics == b.best.metrics and a.best.step == b.best.step == 40
    one, two = (load_file(run.folder / "trials" / "0000" / WEIGHTS) for run in (a, b))
    assert one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)
    assert not checkpoint.exists(), "those of ended trials are deleted"
