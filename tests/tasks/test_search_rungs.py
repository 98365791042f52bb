"""The task `search` under a fidelity: what is compared, exported, counted, and gone on with."""

import io
import shutil

import pytest
from command_line import attempt
from rich.console import Console
from searches import cut

import runner
from runner.display import progress
from runner.errors import ConfigError
from runner.trial import CHECKPOINT, WEIGHTS, trial_folder

GIVEN = ["space=mlp", "training=inline", "evaluator.batch_size=256", "export.top=2",
         "fidelity={key: evaluator.epochs, min: 1, max: 2, eta: 2}"]  # fmt: skip
KINDS = ["asha", "hyperband"]


def search(*given, strategy="asha", folder="run"):
    return runner.run([*GIVEN, f"strategy={strategy}", f"hydra.run.dir={folder}", *given])


def history(run):
    return [(t.number, t.sample, t.seed, t.state, t.scores, t.parent, t.partial, t.duplicate_of)
            for t in run.trials]  # fmt: skip


@pytest.mark.sampled(3)
@pytest.mark.parametrize("engine", ["py", "base", "cgo"])
@pytest.mark.parametrize("strategy", KINDS)
def test_trials_of_the_highest_rung_alone_are_compared_and_exported(strategy, engine, here):
    groups = ["engine.group=3"] if engine == "cgo" else []
    run = search("budget.trials=9", f"engine={engine}", *groups, strategy=strategy)
    own = [t for t in run.trials if t.duplicate_of is None]
    top = [t for t in own if t.sample["evaluator.epochs"] == 2]
    lower = [t for t in own if t.sample["evaluator.epochs"] == 1]
    assert top and lower and all(t.partial and t.scores and not t.scored for t in lower)
    assert [t.number for t in run.top(9)] == [
        t.number for t in sorted(top, key=lambda t: (-t.scores[0], t.number))
    ]
    assert run.best.sample["evaluator.epochs"] == 2 and (run.folder / "top/1/model.py").is_file()
    assert not any((trial_folder(run.folder, t.number) / WEIGHTS).exists() for t in lower)
    promoted = [t for t in top if t.parent is not None]
    for trial in promoted:
        parent = run.trials[trial.parent]
        assert trial.sample == parent.sample | {"evaluator.epochs": 2}
        assert trial.seed == parent.seed and trial.step == 1, "it went on"
        assert not (trial_folder(run.folder, parent.number) / CHECKPOINT).exists()
    assert promoted


def test_epochs_that_were_trained_count_once(here):
    run = search("budget.trials=100", "budget.epochs=7")
    assert 7 <= sum(t.step for t in run.trials) <= 8
    assert any(t.parent is not None for t in run.trials)


@pytest.mark.sampled(4)
@pytest.mark.parametrize("strategy", KINDS)
@pytest.mark.parametrize("files", ["as they are at the end", "without checkpoints"])
def test_a_run_cut_at_any_event_goes_on_as_it_would_have(strategy, files, here, monkeypatch):
    """The files may be later than the record, or missing: a trial is then trained through."""
    said = []
    monkeypatch.setattr(progress, "note", said.append)
    whole = search("budget.trials=6", strategy=strategy)
    best = [(whole.folder / f"top/{i}" / WEIGHTS).read_bytes() for i in (1, 2)]
    events = cut(whole.folder, 10**6)
    for keep in range(3, events, 6):
        folder = here / f"cut{keep}"
        shutil.copytree(whole.folder, folder)
        cut(folder, keep)
        if files == "without checkpoints":
            for path in folder.glob(f"trials/*/{CHECKPOINT}"):
                path.unlink()
        part = runner.run([f"resume={folder}"])
        assert history(part) == history(whole), f"cut behind event {keep}"
        assert [(folder / f"top/{i}" / WEIGHTS).read_bytes() for i in (1, 2)] == best
    assert any("was trained from the beginning" in line for line in said)


def test_without_a_trial_on_the_highest_rung_the_table_says_so(here, monkeypatch):
    shown = []
    monkeypatch.setattr(progress, "show", lambda *parts: shown.extend(parts))
    run = search("budget.trials=1")
    assert run.trials[0].partial and not run.top(1) and not (run.folder / "top").exists()
    file = io.StringIO()
    Console(file=file, width=200).print(*shown)
    assert "No trial has reached the highest rung" in file.getvalue()
    assert "1 trial, 1 on lower rungs" in file.getvalue()


def test_describe_lists_the_rungs(here, monkeypatch):
    line = " ".join([*(g.replace(" ", "") for g in GIVEN), "strategy=asha", "task=describe"])
    done = attempt(line, monkeypatch)
    assert done.code == 0, done.err
    assert "Rungs, from which trials are promoted" in done.out
    assert "evaluator.epochs" in done.out


def test_the_fidelity_cannot_change_on_resume(here):
    search("budget.trials=2")
    with pytest.raises(ConfigError, match="fidelity"):
        runner.run(["resume=run", "fidelity.max=4"])


def test_a_custom_function_trains_with_the_value_of_the_rung(here, monkeypatch):
    monkeypatch.syspath_prepend(here)
    (here / "mine.py").write_text(
        "def train(model, report, epochs):\n"
        "    for epoch in range(epochs):\n"
        "        report(epochs + sum(p.numel() for p in model.parameters()) / 1e6)\n"
    )
    run = runner.run([
        "space=mlp", "training=inline", "strategy=asha", "budget.trials=8", "trust=[mine]",
        "evaluator=function", "evaluator.fn._target_=mine.train", "+evaluator.fn.epochs=1",
        "fidelity={key: evaluator.fn.epochs, min: 1, max: 4, eta: 2}", "hydra.run.dir=run",
    ])  # fmt: skip
    assert all(t.step == t.sample["evaluator.fn.epochs"] for t in run.trials)
    assert {t.sample["evaluator.fn.epochs"] for t in run.trials} >= {1, 2}
    assert not [*run.folder.glob(f"trials/*/{CHECKPOINT}")]
