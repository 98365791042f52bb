"""What a driver hears of its workers: reports, whether they load data, and what trials left."""

import json

import pytest
from among import ENDS
from searches import ARITHMETIC
from services import make_service

from runner.engines.py import PyEngine
from runner.training import worker_process
from runner.trial import Setup, Trial

SLOW = {"_target_": "toy.SlowData", "shape": [1], "classes": 2, "seconds": 0.0}
ENGINE = PyEngine(space={"_target_": "toy.Net"}, trust=["toy"])


def setup_of(folder, seconds=0.0):
    """Data that takes so long to load."""
    return Setup("runner.engines.py.PyEngine", ARITHMETIC, SLOW | {"seconds": seconds},
                 ("data.seconds",), ("toy",), folder)  # fmt: skip


def reports_of(folder, seconds, **limits):
    """The reports of trials that need data which takes so long to load, one after another."""
    service = make_service("local", setup_of(folder, seconds[0]), limits)
    reports = []
    for number, wait in enumerate(seconds):
        sample = {**ENGINE.space.default(), "data.seconds": wait}
        [job] = ENGINE.plan([Trial(number, sample, seed=number)])
        service.submit(job)
        while sum(report.kind in ENDS for report in reports) <= number:
            service.poll(reports.append, 0.2)
    service.close()
    return reports


def ends(reports):
    return [(r.trial, r.kind) for r in reports if r.kind in ENDS]


def test_loading_the_data_does_not_count_as_a_stall(tmp_path):
    """Neither that of a new worker, nor that of a job that needs other data."""
    reports = reports_of(tmp_path, [6.0, 7.0], stall_timeout=4.0, retries=0)
    assert ends(reports) == [(0, "finished"), (1, "finished")]


@pytest.mark.exhaustive
def test_loading_the_data_counts_for_the_limit_of_a_trial(tmp_path):
    reports = reports_of(tmp_path, [0.0, 600.0], trial_timeout=20.0, retries=0)
    assert ends(reports) == [(0, "finished"), (1, "failed")]
    assert reports[-1].failure.reason == "timed out"


@pytest.fixture
def waiting(tmp_path):
    """A worker that loads data for ever."""
    service = make_service("local", setup_of(tmp_path), {"stall_timeout": 600.0})
    sample = {**ENGINE.space.default(), "data.seconds": 600.0}
    service.submit(next(iter(ENGINE.plan([Trial(0, sample, seed=0)]))))
    service.poll(lambda report: None, 0.1)
    [worker] = service._workers
    while worker.process.pid is None:
        service.poll(lambda report: None, 0.1)
    yield worker
    service.close()


@pytest.mark.parametrize("whose", ["its own", "a peer"])
@pytest.mark.parametrize("ends", [True, False])
def test_a_worker_whose_main_thread_has_ended_has_time_to_end(ends, whose, waiting, monkeypatch):
    """And then says how it has; the system ends the other threads of a process one by one."""
    waiting.told({"pid": waiting.process.pid, "peers": [0]})
    dead = waiting.process.pid if whose == "its own" else 0
    status = {waiting.process.pid: "S", 0: "S", dead: "Z"}
    with monkeypatch.context() as patch:
        patch.setattr(worker_process, "process_status", status.get)
        waiting.look(1e6)
        waiting.look(1e6 + worker_process.CHECK)
        assert waiting.doomed is None
        if ends:
            waiting.kill()
            assert "SIGKILL" in waiting.death().text
        else:
            waiting.look(1e6 + worker_process.GRACE)
            assert "main thread" in waiting.death().text and waiting.gone


def test_a_worker_says_which_of_its_processes_has_ended(waiting):
    waiting.told({"ended": "process 2 of 2 of the worker ended with exit code 3"})
    assert waiting.death().text == "process 2 of 2 of the worker ended with exit code 3"


def test_a_worker_loads_data_until_all_of_its_processes_have(waiting, monkeypatch):
    def says(**message):
        said = [json.dumps(message).encode()]
        monkeypatch.setattr(waiting, "_lines", lambda: iter(said))
        assert [*waiting.hear()] == []
        return waiting.loading

    for _ in range(2):
        assert says(loading=True) and says(loading=True, rank=1)
        assert says(loading=False), "the other process loads on"
        assert not says(loading=False, rank=1)
