"""Ray itself, where it is installed: a cluster of several nodes on this machine."""

import subprocess
import sys
import textwrap
import time

import pytest
from searches import history

import runner
from runner.errors import ConfigError
from runner.results import load

ray = pytest.importorskip("ray", reason="the extra 'ray' is not installed")
pytestmark = [
    pytest.mark.exhaustive,
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning",
                               "ignore::FutureWarning",
                               "ignore::pytest.PytestUnraisableExceptionWarning"),
]  # fmt: skip
SMALL = ["space=mlp", "strategy=random", "evaluator.epochs=2", "export.top=0", "report=null"]


@pytest.fixture
def cluster():
    """A head without cores, and two nodes with one core each."""
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    made.nodes = [made.add_node(num_cpus=1, resources={"big": 1}) for _ in range(2)]
    made.wait_for_nodes()
    yield made
    ray.shutdown()
    made.shutdown()


def on(cluster, *more):
    return [*SMALL, "training=ray", f"training.address={cluster.address}", *more]


def test_a_search_on_two_nodes_of_which_one_is_lost(cluster, here, monkeypatch):
    """Each trial finishes exactly once, with the numbers that it has on this machine."""
    (here / "slow.py").write_text(
        textwrap.dedent("""
        import time
        def train(model, report, data, seed):
            for step in range(4):
                time.sleep(0.3)
                report({"val/accuracy": ((seed + step) % 1000) / 1000})
    """)
    )
    monkeypatch.syspath_prepend(here)
    own = ["evaluator=function", "evaluator.fn._target_=slow.train", "trust=[slow]"]
    own = [*(word for word in SMALL if "epochs" not in word), *own, "budget.trials=8"]
    lost = []

    def lose(trial):
        if trial.number == 2 and not lost:
            lost.append(cluster.remove_node(cluster.nodes[0], allow_graceful=False))

    there = ["training=ray", f"training.address={cluster.address}", "training.ship=[slow]"]
    from runner.experiment import Experiment

    observe = Experiment._observe
    monkeypatch.setattr(Experiment, "_observe", lambda self, t: (observe(self, t), lose(t))[0])
    run = runner.run([*own, *there], here / "there")
    assert lost and [t.number for t in run.trials] == [*range(8)]
    assert all(trial.scored and trial.step == 4 for trial in run.trials)
    one = runner.run([*own, "training=local", "training.device=cpu"], here / "here")
    assert history(run.trials) == history(one.trials)


DRIVER = """
    import sys
    sys.path[:0] = {path!r}
    import runner
    runner.run({overrides!r}, {folder!r})
"""


def test_a_killed_driver_is_resumed_on_the_running_cluster(cluster, here):
    """It leaves no worker on the nodes, and the run goes on as if nothing had been."""
    overrides = on(cluster, "budget.trials=12", "seed=3", "training.workers=1")
    code = DRIVER.format(path=sys.path, overrides=overrides, folder=str(here / "run"))
    driver = subprocess.Popen([sys.executable, "-W", "ignore", "-c", textwrap.dedent(code)])
    record = here / "run" / "trials"
    deadline = time.monotonic() + 120
    while len([*record.glob("*")]) < 4 and time.monotonic() < deadline:
        time.sleep(0.05)
    driver.kill()
    driver.wait()
    assert 3 <= len(load(here / "run").trials) < 12
    again = runner.run([f"resume={here / 'run'}", *overrides[1:2]], here / "run")
    whole = runner.run([*SMALL, "budget.trials=12", "seed=3", "training=inline",
                        "training.device=cpu"], here / "whole")  # fmt: skip
    assert history(again.trials) == history(whole.trials)


@pytest.mark.parametrize(
    ("override", "error", "text"),
    [
        ("training.resources={GPU: 1}", ConfigError, "which no node of the Ray cluster has"),
        ("training.resources={CPU: 2}", ConfigError, "they have {CPU: 1, big: 1}"),
        ("training.resources={huge: 0.5}", ConfigError, "huge: 0.5"),
        ("training.ship=[no_such_module]", ConfigError, "training.ship names no_such_module"),
    ],
)
def test_what_the_cluster_does_not_have_is_said_at_once(cluster, override, error, text, here):
    start = time.monotonic()
    with pytest.raises(error) as found:
        runner.run(on(cluster, "budget.trials=1", override), here / "run")
    assert text in str(found.value) and "\n" not in str(found.value)
    assert time.monotonic() - start < 60


@pytest.mark.parametrize("address", ["127.0.0.1:1", "auto", "ray://127.0.0.1:1", "no such"])
def test_no_cluster_at_an_address_is_one_line(address, here):
    with pytest.raises(ConfigError, match="no Ray cluster could be reached") as found:
        runner.run([*SMALL, "training=ray", f"training.address={address!r}"], here / "run")
    assert "\n" not in str(found.value)


def test_fractions_and_named_resources_decide_how_many_run_at_once(cluster, here):
    run = runner.run(on(cluster, "budget.trials=6", "training.resources={CPU: 0.25, big: 0.5}"),
                     here / "run")  # fmt: skip
    assert all(trial.scored for trial in run.trials)
    spans = [(t.started_at, t.ended_at) for t in run.trials]
    assert max(sum(a <= at < b for a, b in spans) for at, _ in spans) <= 4
