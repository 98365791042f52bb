"""Worker processes: whatever a trial does to them, it costs that trial only."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest
from searches import ARITHMETIC, NET, NOTHING, Search, history

from runner.engines.py import PyEngine
from runner.training.leftovers import descendants
from runner.trial import Setup, Trial, trial_folder

NOT_TWO = {1, 3}


def trouble(kind, folder, width=2):
    return {"_target_": "toy.Trouble", "kind": kind, "width": width, "folder": str(folder)}


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat") as stat:  # noqa: PTH123
        return stat.read().rsplit(")", 1)[1].split()[0] != "Z"


def assert_only_width_two_failed(trials, reason, text=""):
    failed = [trial for trial in trials if trial.failed]
    assert failed and {trial.sample["width"] for trial in failed} == {2}
    assert {trial.failure.reason for trial in failed} == {reason}
    assert all(text in trial.failure.text for trial in failed)
    assert {t.sample["width"] for t in trials if t.scored} <= NOT_TWO


@pytest.mark.parametrize(
    ("kind", "text"),
    [("exit", "exit code 3"), ("killed", "SIGKILL"), ("segfault", "SIGSEGV")],
)
def test_a_dead_worker_is_replaced_and_its_trial_has_crashed(kind, text, search, tmp_path):
    trials = search.run(8, evaluator=trouble(kind, tmp_path), service="local", retries=0, workers=2)
    assert_only_width_two_failed(trials, "crashed", text)


def test_a_trial_whose_worker_died_is_started_again_with_the_same_seed(new_search, tmp_path):
    calm = new_search().run(8, evaluator=trouble("prints", tmp_path), service="local")
    shaken = new_search().run(8, evaluator=trouble("killed_once", tmp_path), service="local")
    assert (tmp_path / "was_killed").exists()
    assert [(t.seed, dict(t.metrics), t.step) for t in shaken] == [
        (t.seed, dict(t.metrics), t.step) for t in calm
    ]


def test_training_code_goes_on_from_its_checkpoint_when_its_worker_died(new_search):
    def run(dies):
        fn = {"_target_": "toy.own_training", "_partial_": True, "dies": dies}
        function = {"_target_": "runner.evaluators.function.Function", "fn": fn,
                    "metric": "val/accuracy", "test_fn": None}  # fmt: skip
        search = new_search()
        return search, search.run(3, evaluator=function, service="local")

    (_, calm), (search, shaken) = run(False), run(True)
    assert history(shaken) == history(calm) and [t.step for t in shaken] == [4, 4, 4]
    files = trial_folder(search.folder, 1) / "files"
    assert (files / "epochs.txt").read_text().split() == ["0", "1", "2", "3"]  # each once
    assert not [*search.folder.rglob("state.*")]


@pytest.mark.parametrize("kind", ["hang", "hang_deaf", "hang_in_c"])
def test_a_hung_trial_is_ended_by_force_within_five_seconds(kind, search, tmp_path):
    start = time.monotonic()
    trials = search.run(
        2, strategy="grid", evaluator=trouble(kind, tmp_path, width=1), service="local",
        trial_timeout=0.5,
    )  # fmt: skip
    assert all(trial.failure.reason == "timed out" for trial in trials)
    assert "training.trial_timeout" in trials[0].failure.text
    ended = [trial.ended_at - trial.started_at for trial in trials]
    assert max(ended) < 0.5 + 5 and time.monotonic() - start < 40


def test_a_trial_may_fork(search, tmp_path):
    trials = search.run(8, evaluator=trouble("forks", tmp_path), service="local", stall_timeout=60)
    assert all(trial.scored for trial in trials)


def test_a_dead_worker_is_noticed_although_its_child_lives_on(search, tmp_path):
    start = time.monotonic()
    search.run(1, strategy="grid", evaluator=trouble("leaves_a_child", tmp_path, width=1),
               service="local", retries=0)  # fmt: skip
    [trial] = search.trials
    assert trial.failure.reason == "crashed" and time.monotonic() - start < 25


def test_what_a_hung_trial_started_ends_with_it(search, tmp_path):
    search.run(1, strategy="grid", evaluator=trouble("hang", tmp_path, width=1), service="local",
               trial_timeout=1.0)  # fmt: skip
    assert not alive(int((tmp_path / "child").read_text()))


def test_a_trial_that_no_longer_reports_has_stalled_and_a_slow_one_has_not(search, tmp_path):
    slow = ARITHMETIC | {"epochs": 6, "sleep": 0.2}
    assert all(t.scored for t in search.run(2, evaluator=slow, service="local", stall_timeout=1.0))
    trials = search.run(3, evaluator=trouble("hang", tmp_path, width=trials_width(search)),
                        service="local", stall_timeout=1.0)  # fmt: skip
    assert trials[2].failure.reason == "stalled"


def trials_width(search):
    """The width that the third trial of this search will have."""
    probe = type(search)(search.folder.with_name("probe"))
    return probe.run(3)[2].sample["width"]


def test_what_a_trial_prints_goes_to_its_folder(search, tmp_path, capfd):
    trials = search.run(8, evaluator=trouble("prints", tmp_path), service="local")
    number = next(t.number for t in trials if t.sample["width"] == 2)
    text = (search.folder / "trials" / f"{number:04d}" / "output.txt").read_text()
    assert all(line in text for line in ("hello from a trial", "its errors", "its children"))
    assert "hello" not in capfd.readouterr().out


def test_no_worker_outlives_a_killed_driver(tmp_path):
    script = textwrap.dedent(f"""
        import sys
        sys.path[:0] = {sys.path!r}
        from pathlib import Path
        from searches import *
        Search(Path({str(tmp_path / "run")!r})).run(
            4, service="local", workers=2,
            evaluator={trouble("hang_in_c", tmp_path, width=1)!r}, strategy="grid")
    """)
    driver = subprocess.Popen([sys.executable, "-c", script])
    deadline = time.monotonic() + 120
    while len([*(tmp_path / "run").glob("trials/*")]) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    pids = descendants(driver.pid)
    assert len(pids) >= 2
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    deadline = time.monotonic() + 5
    while any(alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(alive(pid) for pid in pids)


def test_random_kills_of_workers_lose_no_trial(search):
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
    trials = search.run(30, evaluator=slow, service="local", workers=2, retries=5)
    killer.kill()
    killer.wait()
    assert len(trials) == 30 and all(trial.scored for trial in trials)


def test_a_worker_that_dies_before_its_job_has_begun_costs_no_trial(tmp_path):
    """Such as by a signal that an earlier trial had sent."""
    setup = Setup("runner.engines.py.PyEngine", ARITHMETIC, NOTHING, (), ("toy",), tmp_path)
    engine = PyEngine(space=NET, trust=["toy"])
    service = Search._service("local", setup, {"retries": 0})
    ended = {}

    def hear(report):
        if report.kind in ("finished", "failed"):
            ended[report.trial] = report.kind

    def run(number):
        [job] = engine.plan([Trial(number, engine.space.default(), 1)])
        service.submit(job)
        while number not in ended or service._workers[0].job is not None:
            service.poll(hear, 0.1)

    try:
        run(0)
        worker = service._workers[0]
        os.kill(worker.process.pid, signal.SIGUSR1)  # which Python does not handle
        run(1)
        assert service._workers[0] is not worker
    finally:
        service.close()
    assert ended == {0: "finished", 1: "finished"}
    [note] = service.notes()
    assert note.startswith("1 worker was replaced because of what trials left behind: trial 0 (")
    assert "SIGUSR1" in note
