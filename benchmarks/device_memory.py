"""A trial that runs out of memory, on a real worker: it fails, the next ones do not, and the memory
is given back. On a GPU also a group that has no room as one, and is trained in halves."""

import gc
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, final

import torch
from cgo_cases import CASES
from device_task import NO_CUDA, Row, Task, checked, claimed, noted, skipped

from runner.engines.cgo import CgoEngine
from runner.engines.py import PyEngine
from runner.trial import ENDS, Job, Report, Setup, Trial
from runner.worker import Worker

TRUST = ("device_models", "cgo_models")
LIMIT = 50.0  # MiB above the start that may remain
EVALUATOR = {  # as in `conf/evaluator/classification.yaml`
    "_target_": "runner.evaluators.classification.Classification", "epochs": 2, "batch_size": 64,
    "lr": 3e-3, "schedule": {"_target_": "runner.evaluators.schedule.Constant", "warmup": 0.0},
    "optimizer": {"_target_": "torch.optim.AdamW", "_partial_": True, "weight_decay": 0.01},
    "label_smoothing": 0.0, "clip_norm": None, "precision": "fp32", "augment": None,
    "compile": False, "channels_last": "auto", "seed": 0, "checkpoint": None,
}  # fmt: skip
MIB = 2**20


@final
class Office:
    """A worker of this process, with a run folder that is about to go."""

    def __init__(self, folder: Path, device: torch.device, data: Mapping[str, Any], engine: type,
                 evaluator: Mapping[str, Any] = EVALUATOR) -> None:  # fmt: skip
        path = f"{engine.__module__}.{engine.__qualname__}"
        setup = Setup(path, evaluator, data, (), TRUST, folder, keep_weights=False)
        self._worker = Worker(setup, device)

    def run(self, job: Job) -> list[Report]:
        """The reports of a job."""
        reports: list[Report] = []
        self._worker.run(job, reports.append, ())
        return reports


def data(count: int, shape: Sequence[int] = (1, 8, 8)) -> dict[str, Any]:
    """A config node."""
    return {"_target_": "device_models.Cloud", "shape": [*shape], "classes": 10, "count": count}


def run(task: Task) -> Iterator[Row]:
    """Try both on this device."""
    device = torch.device(task.device)
    with tempfile.TemporaryDirectory() as folder:
        yield from _hungry(Office(Path(folder), device, data(256), PyEngine), device)
        if task.is_cuda and not task.quick:
            yield from _crowded(Path(folder), device)
        else:
            why = "quick" if task.is_cuda else NO_CUDA
            yield skipped("a group that has no room as one", why)


def _hungry(office: Office, device: torch.device) -> Iterator[Row]:
    """Calm trials before and after one that takes all memory."""
    first = office.run(_job(0, "Calm"))  # what a library keeps is there from now on
    start = used(device)
    for round_ in range(2):
        failed = office.run(_job(2 * round_ + 1, "Hungry"))[-1]
        reason = failed.failure.reason if failed.failure is not None else failed.kind
        name = f"round {round_ + 1}"
        yield claimed(f"{name}: the trial fails: out of memory", reason == "out of memory",
                      f"{failed.failure or failed.kind}")  # fmt: skip
        yield from _given_back(f"{name}: after it", start, device)
        again = office.run(_job(2 * round_ + 2, "Calm"))
        equal = [loss(report) for report in again] == [loss(report) for report in first]
        close = max(
            (abs(loss(a) - loss(b)) for a, b in zip(again, first, strict=False)), default=1e300
        )
        fits = again[-1].kind == "finished" and len(again) == len(first) and close < 1e-3
        yield claimed(f"{name}: the next trial trains as the first", fits, f"{again[-1]}")
        if fits and not equal:
            yield noted(f"{name}: losses of the next trial differ by {close:.1e}.")
        yield from _given_back(f"{name}: after the next", start, device)


def _job(number: int, model: str) -> Job:
    """A job that trains a model, always under the same seed."""
    engine = PyEngine(space={"_target_": f"device_models.{model}"}, trust=TRUST)
    [job] = engine.plan([Trial(number, {}, 0)])
    return job


def loss(report: Report) -> float:
    return float(report.metrics.get("val/loss", 0.0))


def _crowded(folder: Path, device: torch.device) -> Iterator[Row]:
    """A group of 8 wide networks, in so little memory that 4 of them have room."""
    [case] = [case for case in CASES if case.name == "CNN, 64 channels"]
    case = replace(case, size=8)
    node = {"_target_": case.space, **case.arguments}
    engine = CgoEngine(case.size, case.shape, space=node, trust=TRUST)
    evaluator = {**EVALUATOR, "batch_size": 512}
    trials = [Trial(10 + i, sample, 0) for i, sample in enumerate(case.draw(engine.space, 9))]
    [single], [group] = engine.plan(trials[:1]), engine.plan(trials[1:])

    def office() -> Office:  # which knows nothing of what earlier groups gained
        return Office(folder, device, data(512 * 24, case.shape), CgoEngine, evaluator)

    office().run(group)  # loads the kernels of both ways, which stay on the device
    torch.cuda.empty_cache()
    start = used(device)
    torch.cuda.reset_peak_memory_stats(device)
    office().run(single)
    of_one = torch.cuda.max_memory_allocated(device) - start["allocated"] * MIB
    room = torch.cuda.memory_reserved(device) + 6 * of_one
    total = torch.cuda.get_device_properties(device).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, room / total), device)
    try:
        reports = office().run(group)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, device)
    ends = [report for report in reports if report.kind in ENDS]
    failed = [f"{report.failure}" for report in ends if report.kind == "failed"]
    yield claimed("a group without room: all its trials finish", len(ends) == 8 and not failed,
                  f"{len(ends)} ended; {failed[:2]}")  # fmt: skip
    said = [report.gain.why or "fused" for report in reports if report.gain is not None]
    yield noted(
        f"A group of 8 that needs {of_one / MIB:.0f} MiB for each, in room for 6: {'; '.join(said)}"
    )
    torch.cuda.empty_cache()  # of the data, which went with the worker
    yield from _given_back("a group without room: after it", start, device)


def used(device: torch.device) -> dict[str, float]:
    """MiB: of the tensors of this process, and of the device with all that is on it."""
    gc.collect()
    if device.type != "cuda":
        return {}
    torch.cuda.synchronize(device)
    free, total = torch.cuda.mem_get_info(device)
    allocated, reserved = (
        read(device) / MIB for read in (torch.cuda.memory_allocated, torch.cuda.memory_reserved)
    )
    return {"allocated": allocated, "reserved": reserved, "device": (total - free) / MIB}


def _given_back(name: str, start: Mapping[str, float], device: torch.device) -> Iterator[Row]:
    now = used(device)
    if not now:
        yield skipped(f"{name}: memory", NO_CUDA)
    for kind, before in start.items():
        yield checked(f"{name}: {kind} above its start", now[kind] - before, LIMIT, "MiB")
