"""Training services as the tests make them, each with one worker unless they say otherwise."""

import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import pytest
from fake_ray import FakeRay

from runner.training import ray as ray_service
from runner.training.inline import Inline
from runner.training.local import Local
from runner.training.ray import Ray
from runner.training.service import TrainingService
from runner.training.slurm import Slurm
from runner.training.trial_files import Seal
from runner.trial import Setup

LIMITS = {"max_failures": None, "fail_fast": False}
WORKERS = {**LIMITS, "devices_per_trial": 1, "workers": 1, "threads": 1, "retries": 1,
           "trial_timeout": None, "stall_timeout": None}  # fmt: skip
USUAL = {
    "inline": (Inline, {**LIMITS, "device": "cpu", "threads": 1}),
    "local": (Local, {**WORKERS, "device": "cpu", "workers_per_device": 1}),
    "ray": (Ray, {**WORKERS, "address": None, "resources": None, "device": "auto",
                  "ship": [], "patience": 0,
                  "dashboard": False}),
    "slurm": (Slurm, {**WORKERS, "cluster": "local", "partition": None, "account": None,
                      "time": 60, "trials_per_job": None, "gpus": 0, "cpus": 1, "memory": None,
                      "shell": [], "extra": None, "device": "auto", "idle_minutes": 1}),
}  # fmt: skip
# Of each kind of service, also where the workers do not see the folder of the run.
APART = " apart"
IN_WORKERS = ["local", "ray", f"ray{APART}", "slurm"]
SERVICES = ["inline", *IN_WORKERS]


def each_service(*exhaustive: str) -> list[Any]:
    """The parameters of a test of all services, of which some are exhaustive."""
    marks = {name: [pytest.mark.exhaustive] for name in exhaustive}
    return [pytest.param(name, marks=marks.get(name, [])) for name in SERVICES]


def make_service(name: str, setup: Setup, limits: Mapping[str, Any], ray=None) -> TrainingService:
    """A service of a name. That of Ray is on a fake cluster of two cores, unless it is given."""
    kind, usual = USUAL[name.removesuffix(APART)]
    with fake_ray(ray, apart=name.endswith(APART)):
        return kind(setup, **{**usual, **limits})


@contextmanager
def fake_ray(ray=None, *, apart: bool) -> Iterator[None]:
    """Services of Ray that are made in the block are on a fake cluster."""
    with ExitStack() as patches:
        made = ray or FakeRay({"CPU": 2})
        patches.enter_context(mock.patch.object(ray_service, "imported", lambda: made))
        if apart:
            unseen = mock.patch.object(
                Seal, "of", lambda folder: Seal(f"{folder}/nowhere", uuid.uuid4().hex)
            )
            patches.enter_context(unseen)
        yield
