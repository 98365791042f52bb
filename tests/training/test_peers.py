"""Workers of several devices: a fault on one of them costs what it costs on a single one, and no
process outlives the worker."""

import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace

import pytest
from processes import alive
from several_devices import Devices, job_of, run_here, setup_for

import runner
from runner.training import peers
from runner.training.leftovers import descendants
from runner.trial import WEIGHTS, trial_folder
from runner.trial_check import EPOCH, MEMORY, SCORING, STEP


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    devices = Devices(setup_for(tmp_path_factory.mktemp("two")), 2)
    yield devices
    devices.service.close()


def failure(reports):
    assert reports[-1].kind == "failed"
    return reports[-1].failure


def have_ended(pids):
    """Whether no process is alive in five seconds."""
    deadline = time.monotonic() + 5
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not any(map(alive, pids))


@pytest.mark.parametrize(
    ("code", "how"),
    [
        ("raise SystemExit(3)", "ended with exit code 3"),
        ("import os; os.kill(os.getpid(), 11)", "was killed by SIGSEGV"),
        ("import os, time; os.close(1); time.sleep(60)", "closed its reports"),
    ],
)
def test_a_peer_that_says_no_more_is_asked_how_it_has_ended(code, how, monkeypatch):
    monkeypatch.setattr(peers, "GRACE", 2.0 if "sleep" not in code else 0.05)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        peer = peers.Peer(1, process.pid, -1, process.stdout.fileno())
        assert peer.messages() is None
        assert peer.end() == how
        process.kill()


def test_a_peer_whose_exit_code_a_trial_has_taken_has_ended(monkeypatch):
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
        assert peers.Peer(1, process.pid, -1, -1).end().startswith("has ended (code of a trial")


def test_a_peer_says_whole_messages():
    reports, theirs = os.pipe()
    peer = peers.Peer(1, 0, -1, reports)
    os.write(theirs, b'{"ready": true}\n{"left"')
    assert peer.messages() == [{"ready": True}]
    os.write(theirs, b": {}}\n")
    assert peer.messages() == [{"left": {}}]
    for printed, why in ((b"what a trial printed", "Expecting value"), (b"5", "is a mapping")):
        os.write(theirs, printed + b"\n")
        with pytest.raises(ValueError, match=why):
            peer.messages()
    os.close(theirs)
    os.close(reports)


FAULTS = {
    "wrong": ("error", "ValueError: no such step"),
    "wrong_behind": ("error", "shape"),
    "ended": ("error", "SystemExit: 5"),
    "out_of_memory": ("out of memory", "DefaultCPUAllocator"),
    "dead": ("crashed", "exit code 3"),
    "killed": ("crashed", "SIGKILL"),
}


@pytest.mark.sampled(2)
@pytest.mark.parametrize(("kind", "rank"), [(kind, rank) for rank in (1, 0) for kind in FAULTS])
def test_a_fault_on_one_device_costs_what_it_costs_alone(two, kind, rank):
    reason, text = FAULTS[kind]
    net = {"kind": kind, "rank": rank}
    found = failure(two.run(job_of(1, "Faulty", net=net)))
    assert found.reason == reason and text in found.text
    assert "gloo" not in found.text
    if reason == "crashed":
        whose = "the worker " if rank == 0 else "process 2 of 2 of the worker "
        assert found.text.startswith(whose)
    error = trial_folder(two.setup.folder, 1) / "error.txt"
    assert error.is_file() == (reason != "crashed")
    if error.is_file():
        assert "be_" in error.read_text() or kind == "wrong_behind"
        error.unlink()
    assert two.run(job_of(2))[-1].kind == "finished"


def test_a_model_that_can_be_built_on_one_device_only_fails(two):
    found = failure(two.run(job_of(1, "Unbuildable")))
    assert found.reason == "error" and "it cannot be built here" in found.text
    assert two.run(job_of(2))[-1].kind == "finished"


def test_a_check_trains_on_all_devices_and_says_where_it_failed(two):
    def check(job):
        return two.run(replace(job, action="check"))

    found = failure(check(job_of(1, "Faulty", net={"kind": "wrong", "rank": 1})))
    assert re.fullmatch(r"ValueError: no such step \(\S+/replicated.py:\d+\)", found.text)
    end = check(job_of(60))[-1]
    assert end.kind == "finished" and {*end.metrics} == {STEP, SCORING, EPOCH, MEMORY}
    assert not (trial_folder(two.setup.folder, 60) / WEIGHTS).exists()


def test_a_device_that_hangs_is_ended_with_its_trial(two):
    [worker] = two.service._workers
    pids = [worker.process.pid, *descendants(worker.process.pid)]
    limits = two.service.limits
    two.service.limits = replace(limits, stall_timeout=2.0)
    found = failure(two.run(job_of(1, "Faulty", net={"kind": "hung", "rank": 1})))
    two.service.limits = limits
    assert found.reason == "stalled" and len(pids) == 2
    assert have_ended(pids)
    assert two.run(job_of(2))[-1].kind == "finished"


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("taken", "process 2 of 2 of the worker has ended (code of a trial has taken its exit "),
        ("mute", "process 2 of 2 of the worker closed its reports"),
        ("half_ended", "the main thread of the worker has ended"),
    ],
)
@pytest.mark.sampled(3)
def test_a_device_that_ends_in_an_odd_way_is_no_hang(two, kind, text):
    found = failure(two.run(job_of(1, "Faulty", net={"kind": kind, "rank": 1})))
    assert found.reason == "crashed" and found.text.startswith(text)
    assert two.run(job_of(2))[-1].kind == "finished"


def test_a_device_that_dies_between_trials_costs_none(two):
    [worker] = two.service._workers
    two.run(job_of(1))
    while worker.job is not None:
        two.service.poll(lambda report: None, 0.1)
    [peer] = descendants(worker.process.pid)
    assert worker._peers == [peer]
    os.kill(peer, signal.SIGKILL)
    while two.service._workers == [worker]:
        two.service.poll(lambda report: None, 0.1)
    assert two.run(job_of(2))[-1].kind == "finished"


def test_a_failed_device_does_not_wait_for_another_that_hangs(two):
    """The first device is not in the group, so that nobody there hears of the second."""
    found = failure(two.run(job_of(1, "Torn")))
    assert found.reason == "error" and "only the second" in found.text
    error = trial_folder(two.setup.folder, 1) / "error.txt"
    assert "replicated.py" in error.read_text()
    assert two.run(job_of(2))[-1].kind == "finished"


def test_a_device_that_a_trial_stopped_goes_on(two):
    reports = two.run(job_of(1, "Faulty", net={"kind": "stopped", "rank": 1}))
    assert reports[-1].kind == "finished"


@pytest.mark.exhaustive
def test_data_that_only_another_device_still_loads_is_no_stall(tmp_path):
    setup = setup_for(tmp_path)
    late = {"_target_": "replicated.Late", "train": 43, "seconds": 4.0}
    devices = Devices(replace(setup, data=late), 2, stall_timeout=1.5)
    try:
        assert devices.run(job_of())[-1].kind == "finished"
        end = failure(devices.run(job_of(net={"kind": "hung"}, cls="Faulty")))
        assert end.reason == "stalled", "a device that hangs is one all the same"
    finally:
        devices.service.close()


def test_what_a_trial_changes_on_another_device_is_put_back(two, tmp_path):
    before = [report.metrics for report in two.run(job_of(1, "Random"))]
    two.run(job_of(2, "Faulty", net={"kind": "patching", "rank": 1}))
    assert [report.metrics for report in two.run(job_of(3, "Random"))] == before
    assert "trial 2 (torch.Storage, the default tensor type)" in two.service.notes()[0]


@pytest.mark.parametrize(
    "checkpoint",
    [
        pytest.param(None, id="again", marks=pytest.mark.exhaustive),
        pytest.param({"every": 1}, id="from its checkpoint"),
    ],
)
def test_a_trial_that_lost_a_device_is_trained_again_with_the_same_result(
    two, checkpoint, tmp_path
):
    chosen = {"batch_size": 64, "epochs": 4, "checkpoint": checkpoint}
    calm = two.run(job_of(1, **chosen))
    limits = two.service.limits
    two.service.limits = replace(limits, retries=1)
    net = {"kind": "killed_once", "rank": 1, "folder": str(tmp_path)}
    shaken = two.run(job_of(2, "Faulty", net=net, **chosen))
    two.service.limits = limits
    assert (tmp_path / "was_killed").exists()
    assert [report.metrics for report in shaken[-5:]] == [report.metrics for report in calm[-5:]]
    scored = (tmp_path / "0.txt").read_text().split()
    assert len(scored) == 2 + (4 if checkpoint is None else 2)


def test_only_the_first_device_leaves_files(two, tmp_path):
    job = job_of(40, checkpoint={"every": 1}, epochs=3)
    before = {*two.service.setup.shared_data.iterdir()}
    two.run(job)
    setup = replace(two.setup, folder=tmp_path)
    run_here(setup, job)
    files = [sorted(p.name for p in trial_folder(f, 40).rglob("*")) for f in (
        two.setup.folder, tmp_path)]  # fmt: skip
    assert files[0] == files[1] != []
    assert {*two.service.setup.shared_data.iterdir()} == before


@pytest.mark.exhaustive
def test_many_trainings_end_one_after_another(two):
    """Also those that end at once after their processes have talked to each other: torch's threads
    then need the interpreter's lock, as does who waits for them."""
    limits = two.service.limits
    two.service.limits = replace(limits, trial_timeout=60.0)

    def stop(report):
        if report.kind == "metrics":
            two.service.stop(report.trial)

    kinds = [two.run(job_of(50, epochs=500, net={"kind": "slow"}), stop)[-1].kind
             for _ in range(40)]  # fmt: skip
    two.service.limits = limits
    assert {*kinds} == {"stopped"}


def test_closing_in_the_middle_of_a_trial_leaves_no_process(tmp_path):
    before = {*descendants(os.getpid())}
    devices = Devices(setup_for(tmp_path), 2)
    devices.service.submit(job_of(epochs=1000, net={"kind": "slow"}))
    reports = []
    while not any(report.kind == "metrics" for report in reports):
        devices.service.poll(reports.append, 1.0)
    start = time.monotonic()
    devices.service.close()
    assert time.monotonic() - start < 5
    assert {*descendants(os.getpid())} <= before


@pytest.mark.exhaustive
def test_no_device_outlives_a_killed_driver(tmp_path):
    script = textwrap.dedent(f"""
        import sys
        sys.path[:0] = {sys.path!r}
        from pathlib import Path
        from several_devices import Devices, job_of, setup_for
        devices = Devices(setup_for(Path({str(tmp_path)!r})), 2)
        job = job_of(net={{"kind": "slow"}}, epochs=1000)
        devices.run(job, lambda report: print(report.kind, flush=True))
    """)
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdout is not None
        while "metrics" not in driver.stdout.readline():
            pass
        pids = descendants(driver.pid)
        driver.send_signal(signal.SIGKILL)
    assert len(pids) >= 2
    assert have_ended(pids)


@pytest.mark.parametrize("name", ["ray apart", "slurm"])
@pytest.mark.exhaustive
def test_workers_elsewhere_have_several_devices_too(name, two, tmp_path):
    devices = Devices(setup_for(tmp_path), 2, name)
    try:
        reports = devices.run(job_of(net={"kind": "norm"}))
    finally:
        devices.service.close()
    assert reports[-1].kind == "finished"
    expected = two.run(job_of(net={"kind": "norm"}))
    assert [report.metrics for report in reports] == [report.metrics for report in expected]


@pytest.mark.exhaustive
def test_a_whole_search_with_promoted_trials(here):
    """Trials go on where those of lower rungs ended."""
    model = ["dropouts=[0.0]", "norms=[none]", "activations=[tanh]", "widths=[32]"]
    overrides = [
        "space=mlp", *(f"space.{one}" for one in model), "training.device=cpu", "strategy=asha",
        "fidelity={key: evaluator.epochs, min: 1, max: 4, eta: 2}", "budget.trials=4",
        "evaluator.optimizer._target_=torch.optim.SGD", "~evaluator.optimizer.weight_decay",
    ]  # fmt: skip

    def run(*training):
        trials = runner.run([*overrides, *training], here / training[0] / "run").trials
        return [(trial.number, trial.parent, trial.sample) for trial in trials], [
            trial.metrics for trial in trials
        ]

    several = run("training=local", "training.workers=1", "training.devices_per_trial=2")
    one = run("training=inline")
    assert several[0] == one[0] and any(parent is not None for _, parent, _ in one[0])
    for ours, expected in zip(several[1], one[1], strict=True):
        assert ours == pytest.approx(expected, abs=1e-4)
