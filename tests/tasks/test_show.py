"""`task=show` says what a record says, of any run, and imports nothing that it names."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from records import BEGUN, CONFIG, PROPOSED, STARTED, write

import runner
from runner import results, store
from runner.errors import ConfigError

SAMPLE = {"width": 2, "depth": 1, "skip": True}


def shown(output, *overrides: str) -> str:
    output.seek(0)
    output.truncate()
    assert runner.run(["task=show", *overrides]) is None
    return output.getvalue()


def test_a_run_as_a_whole(searched, output):
    said = shown(output, f"run={searched}")
    best = runner.load(searched).best
    assert said.startswith("MLP with Random, engine py, seed 0\n")
    assert "done, 4 of 4 trials" in said and f"{searched}/top" in said
    row = next(line for line in said.splitlines() if line.startswith("1 "))
    assert row.split()[1] == str(best.number)
    assert f"{best.metrics['val/accuracy']:.4f}" in row
    assert f"task=show run={searched} trial=best" in said


def test_one_trial_as_a_whole(searched, output):
    run = runner.load(searched)
    said = shown(output, f"run={searched}", "trial=2")
    lines = said.splitlines()
    assert lines[0].startswith("Trial 2, finished: val/accuracy ")
    for label, value in run.trials[2].sample.items():
        assert [label, str(value)] in [line.split() for line in lines]
    head = lines.index("By epoch")
    assert lines[head + 1].split()[:2] == ["epoch", "val/accuracy"]
    last = lines[head + 3].split()
    assert last[:2] == ["2", f"{run.trials[2].metrics['val/accuracy']:.4f}"]
    assert any("trials/0002/weights.safetensors" in line for line in lines)
    assert f"python -m runner task=retrain run={searched} trial=2" in lines


@pytest.mark.parametrize("of", [[], ["trial=2"]])
def test_a_record_is_read_only_once(of, searched, output, monkeypatch):
    reads = []
    monkeypatch.setattr(results, "read", lambda *given: reads.append(1) or store.read(*given))
    monkeypatch.setattr(store, "recorded_events", lambda folder, real=store.recorded_events: (
        reads.append(2) or real(folder)))  # fmt: skip
    shown(output, f"run={searched}", *of)
    assert reads == [1, 2]


def test_trials_are_named_by_number_and_by_rank(searched, output):
    best, second = runner.load(searched).top(2)
    for word, trial in (("best", best), ("top/1", best), ("top/2", second)):
        assert shown(output, f"run={searched}", f"trial={word}").startswith(
            f"Trial {trial.number}, "
        )


@pytest.mark.parametrize("word", ["4", "-1", "top/5", "top/0", "worst", "1.5", "[1]", "null/2"])
def test_what_is_no_trial_is_said(word, searched, output):
    with pytest.raises(ConfigError, match=r"^(trial|task\.trial) is ") as caught:
        shown(output, f"run={searched}", f"trial={word}")
    assert "\n" not in str(caught.value)


def test_other_keys_are_refused_rather_than_ignored(searched):
    with pytest.raises(ConfigError, match=r"evaluator\.lr is given, but task=show does not"):
        runner.run(["task=show", f"run={searched}", "evaluator.lr=1"])
    with pytest.raises(ConfigError, match="trial is given, but task=search takes none"):
        runner.run(["trial=3"])
    with pytest.raises(ConfigError, match=r"task=show takes none; it is for task=retrain\.$"):
        runner.run(["task=show", "sample={}"])
    with pytest.raises(ConfigError, match="name the run of this task by run=FOLDER"):
        runner.run(["task=show", f"resume={searched}"])


def failed(number, text, reason="error"):
    own = {"sample": SAMPLE, "seed": 1, "key": f"k{number}", "duplicate_of": None}
    return [("proposed", number, own), ("started", number, {}),
            ("failed", number, {"reason": reason, "text": text})]  # fmt: skip


def test_failures_are_counted_by_reason(tmp_path, output):
    events = [*failed(0, "size 3 is odd"), *failed(1, "no"), *failed(2, "size 5 is odd")]
    write(tmp_path / "run", BEGUN, *events)
    lines = shown(output, f"run={tmp_path / 'run'}").splitlines()
    place = lines.index("Failed")
    assert lines[place + 1 : place + 3] == [
        "2  error: size 3 is odd (trials 0, 2)",
        "1  error: no (trial 1)",
    ]
    said = shown(output, f"run={tmp_path / 'run'}", "trial=1")
    assert "\nFailure\nerror: no\n" in said and "\nFiles\nnone are kept\n" in said


def test_an_empty_run_and_one_that_was_cut_can_be_shown(tmp_path, output):
    write(tmp_path / "empty", BEGUN)
    assert "No trial has a result." in shown(output, f"run={tmp_path / 'empty'}")
    write(tmp_path / "cut", BEGUN, PROPOSED, STARTED)
    said = shown(output, f"run={tmp_path / 'cut'}")
    assert "cut after 0 of 2 trials" in said
    assert f"It can go on: python -m runner resume={tmp_path / 'cut'}" in said


def test_nothing_that_a_record_contains_reaches_the_terminal_as_it_is(tmp_path, output):
    nasty = "\x1b[31m<script>\u202e'\"\n"
    own = {"sample": {nasty: nasty}, "seed": 1, "key": nasty, "duplicate_of": None}
    config = CONFIG | {"objective": {"metric": nasty, "mode": "max"}}
    events = [("begun", None, {"version": 2, "config": config}), ("proposed", 0, own),
              ("started", 0, {}), ("metrics", 0, {nasty: 1.0}), ("metrics", 0, {nasty: 2.0}),
              ("finished", 0, {}), *failed(1, nasty, nasty)]  # fmt: skip
    write(tmp_path / "run", *events)
    for more in ([], ["trial=0"], ["trial=1"]):
        said = shown(output, f"run={tmp_path / 'run'}", *more)
        assert not {"\x1b", "\u202e"} & {*said} and "<script>" in said


def test_a_run_of_somebody_else_is_shown_without_importing_anything(tmp_path: Path) -> None:
    evil = CONFIG | {"space": {"_target_": "evil.Net"}, "trust": ["evil"]}
    write(tmp_path / "run", ("begun", None, {"version": 2, "config": evil}), PROPOSED)
    (tmp_path / "evil.py").write_text("raise SystemExit('imported')")
    code = (
        "import sys; import runner; runner.run(['task=show', 'run=run']); "
        "runner.run(['task=list', 'run=.']); print(*('torch', 'evil') & sys.modules.keys())"
    ).replace("('torch', 'evil') &", "{'torch', 'evil'} &")
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True,
                          text=True)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Net with Random" in done.stdout and done.stdout.endswith("\n\n"), done.stdout


def test_a_run_can_be_shown_by_optuna(searched, tmp_path, output):
    optuna = pytest.importorskip("optuna")
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    shutil.copytree(searched, tmp_path / "run")
    for _ in range(2):  # again: anew, rather than twice
        said = shown(output, f"run={tmp_path / 'run'}", "format=optuna")
        file = tmp_path / "run" / "optuna.log"
        assert "optuna-dashboard" in said and str(file) in said
        storage = JournalStorage(JournalFileBackend(str(file)))
        [summary] = optuna.get_all_study_summaries(storage)
        study = optuna.load_study(study_name=summary.study_name, storage=storage)
        best = runner.load(searched).best
        assert study.best_value == best.metrics["val/accuracy"] and len(study.trials) == 4


def test_what_is_suggested_can_be_done(tmp_path, output):
    write(tmp_path / "cut", BEGUN, PROPOSED, STARTED)
    assert "trial=best" not in shown(output, f"run={tmp_path / 'cut'}")
    said = shown(output, f"run={tmp_path / 'cut'}", "trial=0")
    assert "task=retrain" in said and "task=replay" not in said and "task=export" not in said
    with pytest.raises(ConfigError, match="format=optuna writes the run as a whole"):
        shown(output, f"run={tmp_path / 'cut'}", "trial=0", "format=optuna")
