"""A sweep whose members are jobs of Slurm itself, where it is installed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from one_node import OneNode, why_not

import runner

pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
pytestmark = [
    pytest.mark.exhaustive,
    pytest.mark.skipif(bool(why_not()), reason=why_not() or "there is a cluster"),
]
ROOT = Path(__file__).parents[2]
MEMBERS = ["space=mlp", "budget.trials=2", "evaluator.epochs=1", "training=inline",
           "training.device=cpu", "seed=0,-1,1"]  # fmt: skip


def sweep(*words, **variables):
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "toys")])
    return subprocess.run(
        [sys.executable, "-m", "runner", "-m", *words], capture_output=True, text=True,
        timeout=300, env={**os.environ, "PYTHONPATH": path, **variables},
    )  # fmt: skip


def test_members_are_jobs_and_a_failed_one_costs_itself_only(here, tmp_path_factory):
    slurm = ["hydra/launcher=submitit_slurm", "hydra.launcher.timeout_min=10",
             "hydra.launcher.mem_gb=null"]  # fmt: skip
    cluster = OneNode(tmp_path_factory.mktemp("cluster"))
    try:
        done = sweep(*MEMBERS, *slurm, "hydra.sweep.dir=all", SLURM_CONF=str(cluster.config))
    finally:
        cluster.close()
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Member 1 (seed=-1) failed: seed is -1" in done.stderr
    assert "Member 2 (seed=1) has ended; its best is " in done.stdout
    assert sorted(path.name for path in (here / "all" / ".submitit").glob("[0-9]*_*")) == [
        "1_0", "1_1", "1_2",
    ]  # fmt: skip
    assert sweep(*MEMBERS, "hydra.sweep.dir=here").returncode == 1
    for number in ("0", "2"):
        jobs, one = (runner.load(here / name / number) for name in ("all", "here"))
        assert [(t.sample, t.metrics) for t in jobs.trials] == [
            (t.sample, t.metrics) for t in one.trials
        ]
