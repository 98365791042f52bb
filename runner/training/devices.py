"""Resolves the configured device to one device per slot."""

import os

from runner.errors import ConfigError, as_yaml, few, require

SHOWN = 8  # devices that a sentence lists
PER_CORE = 8  # threads in all that a core can take turns with; more only wait, or run out of memory


def check_count(
    name: str, value: object, *, least: int = 1, most: int | None = None, why: str = ""
) -> None:
    """Raises ConfigError, naming the key below `training`, for a value that is no whole number, is
    too small or too large. `why` says where the largest value comes from."""
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    rule = f"at least {least}" if most is None else f"a whole number from {least} to {most}{why}"
    fits = is_whole and least <= value and (most is None or value <= most)  # type: ignore[operator]
    require(fits, f"training.{name}", value, rule)


def check_threads(threads: int, workers: int = 1) -> None:
    """Raises ConfigError for more threads than this machine has cores, or more in all workers than
    its cores can take turns with."""
    cores = _cores()
    check_count("threads", threads, most=cores, why=", the number of cores of this machine")
    if threads * workers > PER_CORE * cores:
        raise ConfigError(
            f"training.threads is {threads}, of each of {workers} workers; {cores} cores can take "
            f"at most {PER_CORE * cores} threads in all. training.threads=1 is the fastest for "
            "small models, or set training.workers lower."
        )


def devices(device: str, workers: int | None, workers_per_device: int) -> list[str]:
    """Returns one device name per worker. `auto` selects all GPUs, or MPS, or the CPU.

    On a CPU there are `workers` of them, by default one per core; on accelerators
    `workers_per_device` on each, and at most `workers` in all. Raises ConfigError for a device that
    this machine does not have, and for more workers than it can take.
    """
    found = _found(device)
    cores = _cores()
    most, why = PER_CORE * cores, f", {PER_CORE} for each of the {cores} cores of this machine"
    if workers is not None:
        check_count("workers", workers, most=most, why=why)
    check_count("workers_per_device", workers_per_device, most=most, why=why)
    if found == ["cpu"]:
        return ["cpu"] * (workers or cores)
    every = [name for _ in range(workers_per_device) for name in found]
    return every[: most if workers is None else workers]


def device_groups(
    device: str, workers: int | None, workers_per_device: int, per_trial: int
) -> list[list[str]]:
    """Returns the names of the devices of each worker, `per_trial` of them.

    On a CPU, a device is a process on a core; on accelerators, each is one of its own. Raises
    ConfigError for more than this machine has, as `devices` does.
    """
    check_count("devices_per_trial", per_trial)
    if per_trial == 1:
        return [[name] for name in devices(device, workers, workers_per_device)]
    names, cores = _found(device), _cores()
    devices(device, workers, workers_per_device)  # checks them
    if names == ["cpu"]:
        found, most = [["cpu"] * per_trial], PER_CORE * cores // per_trial
        wanted = workers or max(1, cores // per_trial)
        have = f"this machine has {cores} cores, for at most {PER_CORE} processes each"
    else:
        places = range(0, len(names) - per_trial + 1, per_trial)
        found = [names[at : at + per_trial] for at in places]
        most = len(found) * workers_per_device
        wanted = workers or max(1, most)
        have = f"training.device={device} is {few(names, SHOWN)} here, with workers_per_device="
        have += str(workers_per_device)
    if wanted > most:
        of = f", of each of {wanted} workers" if wanted > 1 else ""
        raise ConfigError(f"training.devices_per_trial is {per_trial}{of}, but {have}.")
    return [found[i % len(found)] for i in range(wanted)]


def allotted(gpus: float | None, per_trial: int, key: str, owner: str) -> list[str]:
    """Returns the devices of a worker elsewhere, as `per_trial` of those that a `key` asks for;
    None or 0 GPUs: they are processes on a CPU. Raises ConfigError if there are fewer."""
    check_count("devices_per_trial", per_trial)
    if not gpus:
        return ["cpu"] * per_trial
    if per_trial > 1 and gpus < per_trial:
        raise ConfigError(
            f"training.devices_per_trial is {per_trial}, but {key} asks for {gpus:g} GPUs for "
            f"{owner}; {key}={per_trial} has enough."
        )
    return [f"cuda:{i}" for i in range(per_trial)]


def _found(device: str) -> list[str]:
    import torch  # here, since hosts of workers do without it

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
        f"training.device is {as_yaml(device)}, which this machine does not have; it has {have}. "
        "training.device=auto selects the best one available."
    )


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
