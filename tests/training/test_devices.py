"""Bounds of the machine: what it does not have is refused, with a way out."""

import os

import pytest
from searches import ARITHMETIC, NOTHING
from services import make_service

from runner.errors import ConfigError, as_yaml
from runner.training.devices import PER_CORE
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
