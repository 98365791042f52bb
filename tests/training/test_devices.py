"""Bounds of the machine: what it does not have is refused, with a way out."""

import os
from unittest import mock

import pytest
from searches import ARITHMETIC, NOTHING
from services import make_service

from runner.errors import ConfigError, as_yaml
from runner.training import devices
from runner.training.devices import PER_CORE, device_groups
from runner.trial import Setup

CORES = len(os.sched_getaffinity(0))
MOST = PER_CORE * CORES
BOTH = [
    ({"threads": 100_000}, f"training.threads is 100000; .* 1 to {CORES}, the number of cores"),
    ({"threads": CORES + 1}, f"training.threads is {CORES + 1}; "),
    ({"threads": 0}, "training.threads is 0; "),
    ({"threads": True}, "training.threads is true; "),
    ({"threads": 1.5}, "training.threads is 1.5; "),
    ({"max_failures": True}, "training.max_failures is true; "),
    ({"max_failures": -1}, "training.max_failures is -1; it must be at least 0"),
]
WORKERS = [
    ({"workers": 100_000}, f"training.workers is 100000; .* from 1 to {MOST}, {PER_CORE} for each"),
    ({"workers": True}, "training.workers is true; "),
    ({"workers_per_device": 100_000}, "training.workers_per_device is 100000; "),
    ({"workers_per_device": 0}, "training.workers_per_device is 0; "),
    ({"devices_per_trial": 0}, "training.devices_per_trial is 0; "),
    ({"devices_per_trial": True}, "training.devices_per_trial is true; "),
    ({"devices_per_trial": MOST + 1}, f"devices_per_trial is {MOST + 1}, but this machine"),
    ({"devices_per_trial": 2, "workers": MOST}, f"is 2, of each of {MOST} workers, but this"),
    ({"retries": 10**9}, "training.retries is 1000000000; it must be a whole number from 0 to 100"),
    ({"retries": True}, "training.retries is true; "),
    *(({key: value}, f"training.{key} is {as_yaml(value)}; it must be a number of seconds above 0")
      for key in ("trial_timeout", "stall_timeout")
      for value in (float("nan"), float("inf"), -1.0, 0, True)),
]  # fmt: skip


def refused(name, given, text, folder):
    setup = Setup("runner.engines.py.PyEngine", ARITHMETIC, NOTHING, (), ("toy",), folder / "run")
    with pytest.raises(ConfigError, match=text) as error:
        make_service(name, setup, given)
    assert "\n" not in str(error.value) and error.value.exit_code == 2
    assert not (folder / "run").exists()


@pytest.mark.parametrize("name", ["inline", "local"])
@pytest.mark.parametrize(("given", "text"), BOTH)
def test_what_no_machine_has_is_refused(name, given, text, tmp_path):
    refused(name, given, text, tmp_path)


@pytest.mark.parametrize(("given", "text"), WORKERS)
def test_workers_and_limits_beyond_reason_are_refused(given, text, tmp_path):
    refused("local", given, text, tmp_path)


@pytest.mark.skipif(CORES < 2, reason="more threads than one core has are refused already")
def test_threads_of_all_workers_together_are_bounded(tmp_path):
    given = {"workers": MOST, "threads": CORES}
    refused("local", given, f"training.threads is {CORES}, of each of {MOST} workers", tmp_path)


FOUR = [f"cuda:{i}" for i in range(4)]


@pytest.mark.parametrize(
    ("names", "workers", "each", "count", "expected"),
    [
        (FOUR, None, 1, 2, [FOUR[:2], FOUR[2:]]),
        (FOUR, None, 2, 2, [FOUR[:2], FOUR[2:]] * 2),
        (FOUR, 1, 1, 2, [FOUR[:2]]),
        (FOUR, None, 1, 3, [FOUR[:3]]),
        (FOUR, None, 1, 1, [[name] for name in FOUR]),
        (["cpu"], 2, 1, 3, [["cpu"] * 3] * 2),
    ],
)
def test_each_worker_has_devices_of_its_own(names, workers, each, count, expected):
    with mock.patch.object(devices, "_found", lambda device: names):
        assert device_groups("auto", workers, each, count) == expected


def test_a_worker_of_several_devices_on_a_cpu_takes_as_many_cores():
    with mock.patch.object(devices, "_cores", lambda: 9):
        assert device_groups("cpu", None, 1, 4) == [["cpu"] * 4] * 2


@pytest.mark.parametrize(
    ("names", "workers", "count", "text"),
    [
        (FOUR, None, 5, "is 5, but training.device=cuda is cuda:0, cuda:1, cuda:2, cuda:3 here"),
        (FOUR, 3, 2, "is 2, of each of 3 workers, but training.device=cuda is cuda:0"),
        (["mps"], None, 2, "is 2, but training.device=cuda is mps here"),
    ],
)
def test_more_devices_than_there_are_cannot_be_had(names, workers, count, text):
    with (
        mock.patch.object(devices, "_found", lambda device: names),
        pytest.raises(ConfigError, match=text),
    ):
        device_groups("cuda", workers, 1, count)


@pytest.mark.parametrize(
    ("name", "given", "text"),
    [
        ("ray", {"resources": {"GPU": 1}}, "training.resources.GPU asks for 1 GPUs for a worker"),
        ("ray", {"resources": {"GPU": 0.5}}, "training.resources.GPU=2 has enough"),
        ("slurm", {"gpus": 1}, "is 2, but training.gpus asks for 1 GPUs for a job"),
    ],
)
def test_a_worker_elsewhere_asks_for_as_many_gpus(name, given, text, tmp_path):
    setup = Setup("runner.engines.py.PyEngine", ARITHMETIC, NOTHING, (), ("toy",), tmp_path / "run")
    with pytest.raises(ConfigError, match=text) as error:
        make_service(name, setup, {"devices_per_trial": 2, **given})
    assert "\n" not in str(error.value) and error.value.exit_code == 2
