"""The service on a cluster: which workers it asks for, and what it does when they are lost. The
cluster is a fake; `test_ray_real.py` has a real one."""

import asyncio
import time

import pytest
from fake_ray import FakeRay
from searches import ARITHMETIC, NOTHING, history
from services import fake_ray, make_service

import runner.training.pulse as pulse
import runner.training.ray as ray_service
from runner.errors import ConfigError, RunFailed
from runner.trial import Setup

SLOW = ARITHMETIC | {"epochs": 4, "sleep": 0.1}


@pytest.fixture
def quick(monkeypatch):
    """The service looks at the cluster all the time, and waits for nothing long."""
    monkeypatch.setattr(ray_service, "LOOK", 0.05)


def make(folder, ray, **given):
    setup = Setup("runner.engines.py.PyEngine", ARITHMETIC, NOTHING, (), ("toy",), folder)
    return make_service("ray", setup, {"workers": None, **given}, ray)


def settled(service, wanted):
    """Polls until there are so many slots, and then some more."""
    end = time.monotonic() + 60
    while service.slots != wanted and time.monotonic() < end:
        service.poll(lambda report: None, 0.05)
    for _ in range(5):
        service.poll(lambda report: None, 0.05)
    return service.slots


@pytest.mark.parametrize(
    ("nodes", "resources", "workers", "count"),
    [
        ([{"CPU": 3}], None, None, 3),
        ([{"CPU": 3}], None, 2, 2),
        ([{"CPU": 3}, {"CPU": 3}], {"CPU": 2}, None, 2),  # not the 3 that 6 cores could take
        ([{"CPU": 4, "GPU": 1}], {"CPU": 1, "GPU": 0.5}, None, 2),
        ([{"CPU": 4}, {"CPU": 4, "big": 1}], {"big": 0.25}, None, 4),
        ([{"CPU": 4}], {"CPU": 0.5, "GPU": 0}, 3, 3),
        ([{"CPU": 4, "memory": 5e9}], {"CPU": 1, "memory": 2e9}, None, 2),
    ],
)
def test_there_are_as_many_workers_as_there_is_room_for(
    nodes, resources, workers, count, tmp_path, quick
):
    service = make(tmp_path, FakeRay(*nodes), resources=resources, workers=workers)
    assert settled(service, count) == count
    service.close()


def test_it_grows_with_the_cluster_and_shrinks_with_it(tmp_path, quick):
    ray = FakeRay({"CPU": 1})
    service = make(tmp_path, ray)
    assert settled(service, 1) == 1
    ray.add_node(CPU=2)
    assert settled(service, 3) == 3
    ray.lose_node(1)
    assert settled(service, 1) == 1
    service.close()


def test_a_lost_node_costs_another_attempt_and_nothing_else(search, new_search, monkeypatch, quick):
    ray = FakeRay({"CPU": 1}, {"CPU": 1})

    def lose(trial):
        if trial.number == 2:
            ray.lose_node(0)

    search.on_end = lose
    with fake_ray(ray, apart=True):
        found = search.run(8, evaluator=SLOW, service="ray", workers=None)
    assert all(trial.scored and trial.step == 4 for trial in found)
    assert history(found) == history(new_search().run(8, evaluator=SLOW))


def test_without_attempts_left_the_trials_of_a_lost_node_have_crashed(search, quick):
    ray = FakeRay({"CPU": 1}, {"CPU": 1})
    lost = []

    def lose(trial):
        if not lost:
            lost.append(ray.lose_node(0))

    search.on_end = lose
    with fake_ray(ray, apart=False):
        found = search.run(6, evaluator=SLOW, service="ray", workers=None, retries=0)
    crashed = [trial for trial in found if trial.failed]
    assert len(crashed) <= 1 and len(found) == 6
    assert all("node or actor was lost" in trial.failure.text for trial in crashed)


def test_when_the_last_node_is_lost_it_waits_for_another(tmp_path, quick, monkeypatch, caplog):
    monkeypatch.setattr(ray_service, "WORD", 0.1)
    ray = FakeRay({"CPU": 1})
    service = make(tmp_path, ray)
    ray.lose_node(0)
    for _ in range(10):
        service.poll(lambda report: None, 0.1)
    assert (
        "Waiting for a node of the Ray cluster with room for a worker with {CPU: 1}" in caplog.text
    )
    assert service.slots == 1  # so that a search goes on waiting
    ray.add_node(CPU=2)
    assert settled(service, 2) == 2
    ray.lose_node(1)
    monkeypatch.setattr(ray_service, "LOST", 0.3)
    with pytest.raises(RunFailed, match=r"has had room .* for \d+ s \(training.patience\)"):
        for _ in range(50):
            service.poll(lambda report: None, 0.1)
    service.close()


def test_a_cluster_that_grows_on_demand_is_asked_for_one_more(tmp_path, quick):
    ray = FakeRay({"CPU": 1})
    service = make(tmp_path, ray, patience=60.0)
    assert settled(service, 1) == 1
    assert sum(not actor.has_place for actor in ray.actors) == 1
    service.close()


def test_a_host_that_does_not_answer_is_given_up(tmp_path, quick, monkeypatch):
    """Such as one on a node that is stopped: its worker cannot be killed."""
    monkeypatch.setattr(ray_service, "ANSWER", 0.2)
    from runner.training.host_actor import HostActor

    async def deaf(self):
        return

    monkeypatch.setattr(HostActor, "kill", deaf)
    monkeypatch.setattr(HostActor, "terminate", deaf)
    from searches import Search, trouble

    hang = trouble("hang_in_c", tmp_path, width=1)
    trials = Search(tmp_path / "run").run(
        2, strategy="grid", evaluator=hang, service="ray", trial_timeout=0.3
    )
    assert [trial.failure.reason for trial in trials] == ["timed out"] * 2


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"resources": {}}, "asks for nothing"),
        ({"resources": {"CPU": 0}}, "asks for nothing"),
        ({"resources": {"CPU": -1}}, "training.resources.CPU is -1"),
        ({"resources": {"CPU": 1.5}}, "a whole number, or a fraction of 1"),
        ({"resources": {"GPU": "all"}}, "training.resources.GPU is 'all'"),
        ({"resources": {"CPU": float("nan")}}, "training.resources.CPU"),
        ({"resources": {"CPU": 1, "GPU": True}}, "training.resources.GPU is true; it must be 0 or"),
        ({"resources": {"CPU": 10**400}}, "training.resources.CPU"),
        ({"resources": {"big": 1 / 3}}, "a fraction of 1 with up to 4 digits"),
        ({"resources": {"CPU": [1]}}, "training.resources.CPU is [1]"),
        ({"resources": {1: 1}}, "it must be amounts of named resources, such as {CPU: 1"),
        ({"resources": [1]}, "it must be amounts of named resources, such as {CPU: 1"),
        ({"resources": {"object_store_memory": 1}}, "it must be left out"),
        ({"resources": {"memory": 2e9}}, "asks for {memory: 2e+09} per worker, which no node"),
        ({"resources": {"GPU": 1}}, "which no node of the Ray cluster has (they have {CPU: 1})"),
        ({"device": "cuda:3"}, "auto or cpu"),
        ({"workers": 0}, "training.workers is 0"),
        ({"threads": 0}, "training.threads is 0"),
        ({"patience": -1}, "training.patience is -1"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(given, text, tmp_path):
    ray = FakeRay({"CPU": 1})
    with pytest.raises(ConfigError) as error:
        make(tmp_path, ray, **given)
    assert text in str(error.value) and "\n" not in str(error.value)
    assert not ray.actors and not [*tmp_path.glob(".seal*")]


def test_a_package_that_the_nodes_lack_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(ray_service, "found_of", lambda trust: ["toy", "mypkg"])
    with pytest.raises(RunFailed, match=r"no module mypkg.*training\.ship=\[mypkg\]"):
        make(tmp_path, FakeRay({"CPU": 1}))


def test_a_cluster_of_its_own_is_closed_and_that_of_the_caller_is_not(tmp_path):
    ray = FakeRay({"CPU": 1}, is_up=False)
    service = make(tmp_path, ray)
    [options] = ray.inits
    assert options["address"] == "local" and options["include_dashboard"] is False
    assert "runtime_env" not in options
    service.close()
    service.close()
    assert not ray.is_up and not [*tmp_path.glob(".seal*")]
    mine = FakeRay({"CPU": 1})
    make(tmp_path, mine).close()
    assert mine.is_up and not mine.inits


def test_ray_is_named_with_its_extra_where_it_is_missing(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "ray", None)
    setup = Setup("runner.engines.py.PyEngine", ARITHMETIC, NOTHING, (), (), tmp_path)
    from services import USUAL

    with pytest.raises(ConfigError, match=r'pip install "nas-runner\[ray\]"'):
        ray_service.Ray(setup, **USUAL["ray"][1])


def test_a_host_that_falls_silent_is_given_up_and_its_trial_runs_again(search, monkeypatch, quick):
    """Such as one whose node is stopped, which Ray notices late."""
    monkeypatch.setattr(pulse, "QUIET", 1.5)
    monkeypatch.setattr(pulse, "ANSWER", 0.5)
    from runner.training.host_actor import HostActor

    hear, beat, stopped = HostActor.hear, HostActor.beat, []

    async def silent(self):
        if not stopped and search.ended:
            stopped.append(self)
        if self in stopped:
            await asyncio.sleep(1000)
        return await hear(self)

    async def silent_too(self):
        if self in stopped:
            await asyncio.sleep(1000)
        return await beat(self)

    monkeypatch.setattr(HostActor, "hear", silent)
    monkeypatch.setattr(HostActor, "beat", silent_too)
    found = search.run(4, evaluator=SLOW, service="ray", retries=1)
    assert stopped and [trial.step for trial in found] == [4] * 4
    assert all(trial.scored for trial in found)


def test_a_cluster_that_cannot_be_reached_leaves_nothing_in_the_folder(tmp_path, monkeypatch):
    def unreachable(self, **options):
        raise ConnectionError("nobody is there")

    monkeypatch.setattr(FakeRay, "init", unreachable)
    with pytest.raises(ConfigError, match=r"no Ray cluster could be reached .*nobody is there"):
        make(tmp_path, FakeRay(is_up=False))
    assert not [*tmp_path.iterdir()]
