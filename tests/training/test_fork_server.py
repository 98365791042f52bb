"""Workers that are forked: nobody notices, but that they start at once."""

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest
from searches import ARITHMETIC

from runner.training import fork_server_process
from runner.training.fork_server import USER, ForkServer, ahead, head_start, modules_of
from runner.training.leftovers import children, descendants, process_status
from runner.training.local import Local
from runner.trial import Setup

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(not ForkServer.is_possible(), reason="this system cannot do it")
SPACE = """
    import json, os, sys
    from pathlib import Path
    import torch
    from torch import nn as torch_nn
    from runner import nn

    class Net(torch_nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch_nn.Linear(64, nn.ValueChoice([10], label="outputs"))

        def forward(self, x):
            if self.training and "RUNNER_WORKER" in os.environ:
                facts = {
                    "modules": [*sys.modules],
                    "folder": os.getcwd(),
                    "variables": {**os.environ},
                    "threads": torch.get_num_threads(),
                    "leader": os.getsid(0) == os.getpgid(0) == os.getpid(),
                    "tasks": len(os.listdir(f"/proc/{os.getppid()}/task")),
                }
                Path(os.environ["FACTS"], str(os.getpid())).write_text(json.dumps(facts))
            return self.layer(x.flatten(1))
"""


def until(holds, seconds=120):
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def until_ready(service):
    until(lambda: (service.poll(print, 0.1), all(w.ready for w in service._workers))[1])


def facts_of(tmp_path, *overrides):
    """What the workers of a search from the command line look like from inside."""
    (tmp_path / "facts").mkdir()
    (tmp_path / "looking.py").write_text(textwrap.dedent(SPACE))
    subprocess.run(
        [sys.executable, "-m", "runner", "space._target_=looking.Net", "~space.shape",
         "trust=[looking]", "strategy=random", "budget.trials=2", "dedup=false",
         "evaluator.epochs=1", "training.device=cpu", "training.workers=2", "hydra.run.dir=run",
         *overrides],
        cwd=tmp_path, check=True, capture_output=True,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{tmp_path}", "FACTS": str(tmp_path / "facts")},
    )  # fmt: skip
    found = [json.loads(path.read_text()) for path in (tmp_path / "facts").iterdir()]
    assert found
    return found


@pytest.fixture(scope="module")
def facts(tmp_path_factory):
    return facts_of(tmp_path_factory.mktemp("looked"), "space=mlp")


@pytest.mark.parametrize(
    "name", ["torch._dynamo", "torch._inductor", "sympy", "sklearn", "scipy", "optuna", "pandas"]
)
def test_a_worker_of_a_usual_search_imports_nothing_that_it_does_not_use(facts, name):
    assert not any(name in one["modules"] for one in facts)


def test_a_worker_is_as_a_process_of_its_own_would_be(facts):
    for one in facts:
        assert one["leader"] and one["threads"] == 1
        assert one["variables"]["OMP_NUM_THREADS"] == one["variables"]["MKL_NUM_THREADS"] == "1"
        assert Path(one["variables"]["FACTS"]).parent == Path(one["folder"])
    assert len({one["variables"]["RUNNER_WORKER"] for one in facts}) == len(facts)


def test_the_server_has_one_thread_when_it_forks(facts):
    assert {one["tasks"] for one in facts} == {1}


def test_the_workers_of_a_service_have_one_parent_which_ends_with_it(tmp_path):
    service = make(tmp_path)
    until_ready(service)
    parents = {pid for pid in children(os.getpid()) if children(pid)}
    [server] = [p for p in parents if {w.process.pid for w in service._workers} <= {*children(p)}]
    assert process_status(server) in ("S", "R")
    service.close()
    until(lambda: server not in descendants(os.getpid()))


def make(folder, **limits):
    setup = Setup(
        engine="runner.engines.py.PyEngine", evaluator=ARITHMETIC,
        data={"_target_": "toy.Nothing", "shape": [1], "classes": 2}, search=(), trust=("toy",),
        folder=folder,
    )  # fmt: skip
    return Local(
        setup, device="cpu", devices_per_trial=1, workers=2, workers_per_device=1, threads=1,
        retries=1, trial_timeout=None, stall_timeout=None, max_failures=None, fail_fast=False,
    )  # fmt: skip


def test_workers_are_replaced_when_the_server_is_killed(tmp_path):
    service = make(tmp_path)
    until_ready(service)
    old = [worker.process.pid for worker in service._workers]
    service._server._process.kill()
    until(lambda: all(map(is_gone, old)))
    service.poll(print, 0.1)
    until_ready(service)
    assert not {*old} & {worker.process.pid for worker in service._workers}
    service.close()


def is_gone(pid):
    return process_status(pid) in ("", "Z", "X")


def test_a_server_that_was_stopped_goes_on(tmp_path):
    service = make(tmp_path)
    os.kill(service._server._process.pid, signal.SIGSTOP)
    until_ready(service)
    service.close()


def test_what_a_dead_worker_has_left_running_ends_with_its_release(search, tmp_path):
    """A process that has left the session and the group of the worker, and has no mark."""
    leaves = {"_target_": "toy.Trouble", "kind": "leaves_a_child", "width": 1,
              "folder": str(tmp_path)}  # fmt: skip
    before = {*descendants(os.getpid())}
    search.run(1, strategy="grid", evaluator=leaves, service="local", retries=0)
    until(lambda: {*descendants(os.getpid())} <= before)


def test_started_and_forked_workers_give_the_same_numbers(new_search, monkeypatch):
    forked = new_search().run(6, service="local", workers=2)
    monkeypatch.setattr(ForkServer, "is_possible", staticmethod(lambda: False))
    started = new_search().run(6, service="local", workers=2)
    assert [(t.seed, dict(t.metrics)) for t in forked] == [
        (t.seed, dict(t.metrics)) for t in started
    ]


def test_a_head_start_is_used_and_ended_even_after_an_error(tmp_path):
    before = {*descendants(os.getpid())}
    with pytest.raises(RuntimeError), head_start({"_target_": USER, "threads": 1}, []):
        server = ahead.get()
        service = make(tmp_path)
        assert service._server is server and server.is_alive
        service.close()
        assert server.is_alive
        raise RuntimeError
    assert ahead.get() is None and not server.is_alive
    assert {*descendants(os.getpid())} <= before


@pytest.mark.parametrize(
    "training", [{"_target_": "runner.training.inline.Inline", "threads": 1},
                 {"_target_": USER, "threads": "many"}, {"_target_": USER}],
)  # fmt: skip
def test_there_is_no_head_start_for_other_services_and_nonsense(training):
    before = {*descendants(os.getpid())}
    with head_start(training, []):
        assert ahead.get() is None and {*descendants(os.getpid())} <= before


def test_a_server_for_other_threads_is_not_used(tmp_path):
    with head_start({"_target_": USER, "threads": 2}, []):
        service = make(tmp_path)
        assert service._server is not ahead.get() and service._server.threads == 1
        service.close()


def test_only_modules_of_this_package_are_imported_ahead():
    nodes = [{"_target_": "runner.data.digits.Digits"}, {"_target_": "mine.Data"},
             {"_target_": "runnery.Data"}]  # fmt: skip
    assert modules_of(nodes) == ["runner.data.digits"]


def test_a_number_of_workers_may_lose_their_server_while_it_starts(tmp_path):
    """It is one failed start, not one for each of them."""
    service = make(tmp_path)
    for _ in range(3):
        service._server._process.kill()
        service._server._process.wait()
        old = [*service._workers]
        until(lambda old=old: (service.poll(print, 0.1), not {*old} & {*service._workers})[1])
    assert len(service._stillborn) <= 3
    service.close()


@pytest.fixture
def stopped():
    """A process that is stopped."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
    child.send_signal(signal.SIGSTOP)
    until(lambda: process_status(child.pid) == "T")
    yield child
    child.kill()
    child.wait()


def test_a_stopped_parent_is_woken_if_it_wants_to_be(stopped, monkeypatch):
    """Such as the host of a worker on a node; but who stops a driver means it."""
    monkeypatch.setattr(fork_server_process, "CHECK", 0.01)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        fork_server_process.Workers(theirs, None)._await_message()
        assert process_status(stopped.pid) == "T"
        serving = fork_server_process.Workers(theirs, stopped.pid)
        waits = threading.Thread(target=serving._await_message)
        waits.start()
        until(lambda: process_status(stopped.pid) != "T")
        ours.send(b"a message")
        waits.join(20)
        assert not waits.is_alive()


def test_a_stopped_server_is_woken_to_be_asked(tmp_path):
    """Otherwise it would seem dead, and its workers would end with it."""
    service = make(tmp_path)
    until_ready(service)
    server, worker = service._server, service._workers[0]
    server._process.send_signal(signal.SIGSTOP)
    until(lambda: process_status(server._process.pid) == "T")
    assert server.code(worker.process._number) is None and server.is_alive
    service.close()
