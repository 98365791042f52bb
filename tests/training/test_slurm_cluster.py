"""Slurm itself, where it is installed: a cluster of one node on this machine."""

from collections import Counter

import pytest
from one_node import OneNode, why_not
from searches import history
from slurm_runs import OWN, killed_driver, started, until, write_slow

import runner
from runner.errors import ConfigError, RunFailed
from runner.training import slurm
from runner.training.pilot import FOLDER

pytest.importorskip("submitit", reason="the extra 'slurm' is not installed")
pytestmark = [
    pytest.mark.exhaustive,
    pytest.mark.skipif(bool(why_not()), reason=why_not() or "there is a cluster"),
]
ON = ["training=slurm", "training.time=10", "training.memory=null"]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    made = OneNode(tmp_path_factory.mktemp("cluster"))
    yield made
    made.close()


@pytest.fixture
def node(cluster, monkeypatch):
    monkeypatch.setenv("SLURM_CONF", str(cluster.config))
    monkeypatch.setattr(slurm, "LOOKS", {"slurm": 2.0, "local": 1.0})
    yield cluster
    until(lambda: not cluster.ask("squeue", "--noheader"))


@pytest.fixture
def slow(here, monkeypatch):
    return lambda pause: write_slow(here, pause, monkeypatch)


def test_a_search_in_jobs_of_an_array(node, slow, here):
    log = slow(0.1)
    run = runner.run([*OWN, *ON, "budget.trials=8", "training.workers=2",
                      "training.trials_per_job=3"], here / "run")  # fmt: skip
    assert started(log) == dict.fromkeys(range(8), 1)
    log.unlink()
    one = runner.run([*OWN, "training=inline", "training.device=cpu", "budget.trials=8"],
                     here / "one")  # fmt: skip
    assert history(run.trials) == history(one.trials)


def test_a_killed_driver_that_is_resumed_finds_its_jobs(node, slow, here):
    log, folder = slow(0.5), here / "run"
    killed_driver(folder, [*OWN, *ON, "budget.trials=3", "training.workers=1"],
                  lambda: started(log)[1])  # fmt: skip
    [job] = node.ask("squeue", "--noheader", "--array", "--format=%i").split()
    run = runner.run([f"resume={folder}"], folder)
    assert started(log) == {0: 1, 1: 1, 2: 1}
    assert all(trial.step == 4 for trial in run.trials)
    assert [path.name for path in (folder / FOLDER / slurm.LOGS).glob("*_submitted.pkl")] == [
        f"{job}_submitted.pkl"
    ]


def test_a_job_that_slurm_preempts_is_requeued_and_goes_on(node, slow, here, monkeypatch):
    """With the signal that it was submitted to be told by."""
    log, folder = slow(0.5), here / "run"
    jobs = []

    def preempt(trial):
        if trial.number == 1 and trial.step == 2 and not jobs:
            jobs.extend(node.ask("squeue", "--noheader", "--array", "--format=%i").split())
            node.ask("scancel", "--signal=USR2", *jobs)

    from runner.experiment import Experiment

    hear = Experiment._hear
    monkeypatch.setattr(Experiment, "_hear", lambda self, report: (
        hear(self, report), [preempt(t) for t in self.store.running.values()])[0])  # fmt: skip
    run = runner.run([*OWN, *ON, "budget.trials=3", "training.workers=1", "training.retries=0"],
                     folder)  # fmt: skip
    assert len(jobs) == 1 and all(trial.scored and trial.step == 4 for trial in run.trials)
    assert started(log) == {0: 1, 1: 2, 2: 1}
    steps = folder / "trials" / "0001" / "files" / "steps.txt"
    assert Counter(steps.read_text().split()) == Counter("0123")
    submitted = (folder / FOLDER / slurm.LOGS).glob("*_submitted.pkl")
    assert [path.name for path in submitted] == [f"{jobs[0]}_submitted.pkl"]


def test_a_cancelled_job_is_replaced_by_another(node, slow, here, monkeypatch):
    log, folder = slow(0.4), here / "run"
    jobs = []

    def cancel(trial):
        if trial.number == 1 and not jobs:
            jobs.extend(node.ask("squeue", "--noheader", "--array", "--format=%i").split())
            node.ask("scancel", *jobs)

    from runner.experiment import Experiment

    observe = Experiment._observe
    monkeypatch.setattr(Experiment, "_observe", lambda self, t: (observe(self, t), cancel(t))[0])
    run = runner.run([*OWN, *ON, "budget.trials=3", "training.workers=1", "training.retries=0"],
                     folder)  # fmt: skip
    assert all(trial.scored for trial in run.trials) and len(jobs) == 1
    assert set(started(log)) == {0, 1, 2}


def test_what_slurm_refuses_is_said_in_its_words(node, here):
    with pytest.raises(ConfigError, match="invalid partition specified: nope") as error:
        runner.run(["space=mlp", *ON, "training.partition=nope"], here / "run")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("override", "reason"),
    [
        ("training.time=300", "Partition(TimeLimit|Config)"),
        ("training.cpus=1000", "PartitionConfig"),
    ],
)
def test_a_job_that_asks_for_more_than_its_partition_has_ends_the_run(node, override, reason, here):
    with pytest.raises(RunFailed, match=rf"{reason}.*training\.time") as error:
        runner.run(["space=mlp", *ON, override], here / "run")
    assert "\n" not in str(error.value)
