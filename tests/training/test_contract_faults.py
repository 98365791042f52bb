"""What every service of workers promises when trials misbehave: it costs that trial only, and what
it leaves arrives in the folder of the run."""

import json
import os
import shutil
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import torch
import yaml
from processes import alive
from searches import ARITHMETIC, CONF, MLP, NET, history, merged, trouble
from services import APART, fake_ray, make_service

import runner
from runner.checkpoints import FACTS
from runner.engines.py import PyEngine
from runner.trial import CHECKPOINT, ENDS, WEIGHTS, Setup, Trial, trial_folder
from runner.weights import load_tensors
from runner.whole_files import PARTIAL

NOT_TWO = {1, 3}
TRAINING = yaml.safe_load((CONF / "evaluator/classification.yaml").read_text()) | {"seed": 0}
POINTS = {"_target_": "toy.Points", "shape": [3], "classes": 2}


SLURM = pytest.param("slurm", marks=pytest.mark.exhaustive)


@pytest.fixture(params=["local", f"ray{APART}", SLURM])
def name(request):
    return request.param


def assert_only_width_two_failed(trials, reason, text=""):
    failed = [trial for trial in trials if trial.failed]
    assert failed and {trial.sample["width"] for trial in failed} == {2}
    assert {trial.failure.reason for trial in failed} == {reason}
    assert all(text in trial.failure.text for trial in failed)
    assert {t.sample["width"] for t in trials if t.scored} <= NOT_TWO


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("kind", "text"),
    [("exit", "exit code 3"), ("killed", "SIGKILL"), ("segfault", "SIGSEGV")],
)
def test_a_dead_worker_is_replaced_and_its_trial_has_crashed(name, kind, text, search, tmp_path):
    trials = search.run(8, evaluator=trouble(kind, tmp_path), service=name, retries=0, workers=2)
    assert_only_width_two_failed(trials, "crashed", text)


def test_a_trial_whose_worker_died_is_started_again_with_the_same_seed(name, new_search, tmp_path):
    calm = new_search().run(8, evaluator=trouble("prints", tmp_path), service=name)
    shaken = new_search().run(8, evaluator=trouble("killed_once", tmp_path), service=name)
    assert (tmp_path / "was_killed").exists()
    assert [(t.seed, dict(t.metrics), t.step) for t in shaken] == [
        (t.seed, dict(t.metrics), t.step) for t in calm
    ]


def test_training_code_goes_on_from_its_checkpoint_when_its_worker_died(name, new_search):
    def run(dies):
        fn = {"_target_": "toy.own_training", "_partial_": True, "dies": dies}
        function = {"_target_": "runner.evaluators.function.Function", "fn": fn,
                    "metric": "val/accuracy", "test_fn": None}  # fmt: skip
        search = new_search()
        return search, search.run(3, evaluator=function, service=name)

    (_, calm), (search, shaken) = run(False), run(True)
    assert history(shaken) == history(calm) and [t.step for t in shaken] == [4, 4, 4]
    files = trial_folder(search.folder, 1) / "files"
    assert (files / "epochs.txt").read_text().split() == ["0", "1", "2", "3"]  # each once
    assert not [*search.folder.rglob("state.*")]


@pytest.mark.sampled(2)
@pytest.mark.parametrize("count", [1, 2])
def test_a_training_goes_on_from_its_checkpoint_when_its_worker_died(name, count, tmp_path):
    """Bit by bit; the two trials of a group do so one after the other."""

    def run(kind, at):
        folder, batches = tmp_path / kind, tmp_path / f"{kind}.txt"
        augment = {"_target_": "toy.DiesOnce", "file": str(batches), "at": at}
        evaluator = {**TRAINING, "epochs": 6, "checkpoint": {"every": 2}, "augment": augment}
        setup = Setup("runner.engines.py.PyEngine", evaluator, POINTS, (), ("toy",), folder)
        service = make_service(name, setup, {})
        engine = PyEngine(space=NET, trust=["toy"])
        trials = [Trial(i, {"width": 3, "depth": 1, "skip": False}, i) for i in range(count)]
        service.submit(merged([*engine.plan(trials)]))
        reports = []
        while sum(report.kind in ENDS for report in reports) < count:
            service.poll(reports.append, 1.0)
        service.close()
        assert {report.kind for report in reports if report.kind in ENDS} == {"finished"}
        last = {r.trial: (r.kind, dict(r.metrics)) for r in reports if r.kind == "metrics"}
        weights = [load_tensors(trial_folder(folder, i) / WEIGHTS)[0] for i in range(count)]
        assert not [*folder.rglob(f"*{PARTIAL}")]
        return last, weights, batches.stat().st_size

    (last, weights, batches), (shaken, others, more) = run("calm", 0), run("shaken", 6)
    assert shaken == last and batches == 6
    assert more == 6 + 2 * count, "the last two epochs were trained again, and no others"
    for ours, theirs in zip(weights, others, strict=True):
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("kind", ["hang", "hang_deaf", "hang_in_c"])
def test_a_hung_trial_is_ended_by_force_within_five_seconds(name, kind, search, tmp_path):
    start = time.monotonic()
    trials = search.run(
        2, strategy="grid", evaluator=trouble(kind, tmp_path, width=1), service=name,
        trial_timeout=0.5,
    )  # fmt: skip
    assert all(trial.failure.reason == "timed out" for trial in trials)
    assert "training.trial_timeout" in trials[0].failure.text
    ended = [trial.ended_at - trial.started_at for trial in trials]
    assert max(ended) < 0.5 + 5 and time.monotonic() - start < 40


def test_a_trial_may_fork(name, search, tmp_path):
    trials = search.run(8, evaluator=trouble("forks", tmp_path), service=name, stall_timeout=60)
    assert all(trial.scored for trial in trials)


def test_a_dead_worker_is_noticed_although_its_child_lives_on(name, search, tmp_path):
    start = time.monotonic()
    search.run(1, strategy="grid", evaluator=trouble("leaves_a_child", tmp_path, width=1),
               service=name, retries=0)  # fmt: skip
    [trial] = search.trials
    assert trial.failure.reason == "crashed" and time.monotonic() - start < 25


def test_what_a_hung_trial_started_ends_with_it(name, search, tmp_path):
    search.run(1, strategy="grid", evaluator=trouble("hang", tmp_path, width=1), service=name,
               trial_timeout=1.0)  # fmt: skip
    assert not alive(int((tmp_path / "child").read_text()))


def test_a_trial_that_no_longer_reports_has_stalled_and_a_slow_one_has_not(name, search, tmp_path):
    slow = ARITHMETIC | {"epochs": 6, "sleep": 0.2}
    assert all(t.scored for t in search.run(2, evaluator=slow, service=name, stall_timeout=1.0))
    trials = search.run(3, evaluator=trouble("hang", tmp_path, width=trials_width(search)),
                        service=name, stall_timeout=1.0)  # fmt: skip
    assert trials[2].failure.reason == "stalled"


def trials_width(search):
    """The width that the third trial of this search will have."""
    probe = type(search)(search.folder.with_name("probe"))
    return probe.run(3)[2].sample["width"]


def test_what_a_trial_prints_goes_to_its_folder(name, search, tmp_path, capfd):
    trials = search.run(8, evaluator=trouble("prints", tmp_path), service=name)
    number = next(t.number for t in trials if t.sample["width"] == 2)
    text = (search.folder / "trials" / f"{number:04d}" / "output.txt").read_text()
    assert all(line in text for line in ("hello from a trial", "its errors", "its children"))
    assert "hello" not in capfd.readouterr().out


@pytest.mark.sampled(2)
def test_random_kills_of_workers_lose_no_trial(name, search):
    """A killer goes about for the whole run of 30 trials, and also kills the server that forks
    workers; each trial ends with a result."""
    script = textwrap.dedent(f"""
        import random, sys, time, os, signal
        from pathlib import Path
        sys.path[:0] = {sys.path!r}
        from runner.training.leftovers import descendants
        rng = random.Random(0)
        trials, so_far = Path({str(search.folder / "trials")!r}), 0
        for _ in range(12):
            while len([*trials.glob("*")]) < so_far + 2:
                time.sleep(0.05)
            so_far = len([*trials.glob("*")])
            found = [pid for pid in descendants({os.getpid()}) if pid != os.getpid()]
            if found:
                try:
                    os.kill(rng.choice(found), signal.SIGKILL)
                except ProcessLookupError:
                    pass
    """)
    killer = subprocess.Popen([sys.executable, "-c", script])
    slow = ARITHMETIC | {"epochs": 3, "sleep": 0.05}
    trials = search.run(30, evaluator=slow, service=name, workers=2, retries=5)
    killer.kill()
    killer.wait()
    assert len(trials) == 30 and all(trial.scored for trial in trials)


@pytest.mark.parametrize(
    ("kind", "reason", "text"),
    [("error", "error", "a user's mistake"), ("host_memory", "out of memory", "")],
)
def test_an_exception_costs_its_trial_only(name, kind, reason, text, search, tmp_path):
    trials = search.run(8, evaluator=trouble(kind, tmp_path), service=name)
    assert_only_width_two_failed(trials, reason, text)
    for trial in trials:
        assert (trial_folder(search.folder, trial.number) / "error.txt").is_file() == trial.failed


GRAPHS = ["engine=base", "export.keep_weights=null", "budget.trials=5", "export.top=0"]
ONE = ["space.depths=[1]", "space.widths=[8]", "space.norms=[none]"]
KINDS = {
    "inherited": [
        "space=mutate", "space.model._target_=spaces.mlp.MLP", "space.model.activations=[relu]",
        "space.model.depths=[2]", "space.weights=inherit", "strategy=evolution",
        "strategy.population_size=2", "strategy.sample_size=2",
        "space.mutators=[{class: ReLU, replace: [ReLU, GELU, SiLU]}]",
    ],
    "rungs": [
        "strategy=asha", "fidelity={key: evaluator.epochs, min: 1, max: 4, eta: 2}",
        "budget.trials=8",
    ],
    "initial": ["initial_weights=weights.safetensors", *ONE],
}  # fmt: skip


def content(path: Path) -> object:
    """What a file says; the facts of a checkpoint are in any order."""
    if path.name != CHECKPOINT:
        return path.read_bytes()
    tensors, texts = load_tensors(path)
    return {name: tensor.tolist() for name, tensor in tensors.items()}, json.loads(texts[FACTS])


@pytest.mark.sampled(3)
@pytest.mark.parametrize("kind", KINDS)
def test_what_trials_leave_is_the_same_wherever_they_ran(kind, here):
    """Weights, sources, checkpoints, reports of what was inherited: what they read of each other
    reaches them, too."""
    if kind == "initial":
        one = runner.run([*MLP, *ONE, *GRAPHS], here / "one")
        shutil.copy(one.weights(one.trials[0]), here)

    def left(training):
        run = runner.run([*MLP, *GRAPHS, *KINDS[kind], *training], here / training[0] / "run")
        files = [path for path in run.folder.rglob("trials/**/*") if path.is_file()]
        return history(run.trials), {
            str(path.relative_to(run.folder)): content(path) for path in files
        }

    with fake_ray(apart=True):
        trials, files = left(["training=ray", "training.workers=1"])
    others, expected = left(["training=local", "training.workers=1"])
    assert trials == others
    assert {*files} == {*expected}
    assert not {path for path in files if files[path] != expected[path]}
