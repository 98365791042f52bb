"""Resolves the configured device to one device per slot."""

import os

import torch

from runner.errors import ConfigError, require


def check_positive(**values: int | None) -> None:
    """Raises ConfigError, naming the key below `training`, for a number below 1."""
    for name, value in values.items():
        require(value is None or value >= 1, f"training.{name}", value, "at least 1")


def devices(device: str, workers: int | None, workers_per_device: int) -> list[str]:
    """Returns one device name per worker. `auto` selects all GPUs, or MPS, or the CPU.

    On a CPU there are `workers` of them, by default one per core; on accelerators
    `workers_per_device` on each, and at most `workers` in all. Raises ConfigError for a device that
    this machine does not have.
    """
    found = _found(device)
    check_positive(workers=workers, workers_per_device=workers_per_device)
    if found == ["cpu"]:
        return ["cpu"] * (workers or _cores())
    every = [name for _ in range(workers_per_device) for name in found]
    return every[:workers]


def _found(device: str) -> list[str]:
    cuda = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    mps = ["mps"] if torch.backends.mps.is_available() else []
    match device:
        case "auto":
            return cuda or mps or ["cpu"]
        case "cpu":
            return ["cpu"]
        case "cuda" if cuda:
            return cuda
        case _ if device in (*cuda, *mps):
            return [device]
    have = ", ".join(["cpu", *cuda, *mps])
    raise ConfigError(
        f"training.device is {device!r}, which this machine does not have; it has {have}. "
        "training.device=auto selects the best one available."
    )


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
