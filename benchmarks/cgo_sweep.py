"""Groups of several sizes on a GPU, against the other ways to keep one busy with small models.

One after another as engine=py does; one CUDA graph of the whole step for each model; and several
processes with a part of the models each.
"""

import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from multiprocessing.synchronize import Barrier
from typing import final

import torch
from cgo_cases import CASES, STEPS, Candidates, Case
from cgo_graphs import graphs
from rich.table import Table

from runner.data.data import Batch
from runner.evaluators.group import Group
from runner.evaluators.member import Member
from runner.evaluators.race import ROUNDS

BLOCK = 10  # steps that are timed together
TURNS = 7
Step = Callable[[Batch], None]  # of all models


@final
@dataclass(frozen=True)
class Sweep:
    """Milliseconds of a step of all models."""

    name: str
    models: int
    single: float
    graphs: float
    processes: float  # at once, as many as there are cores, and at most one for each model
    cgo: float


def sweep(case: Case, size: int, device: torch.device) -> Sweep:
    """The figures of a case with so many models."""
    candidates = Candidates(case := replace(case, size=size))
    candidates.plan()
    models, batches = candidates.models(), candidates.batches(device, BLOCK)
    members = candidates.members(models, device)
    programs = candidates.programs() if size > 1 else []
    ways: dict[str, Step] = {
        "single": singly(members),
        "graphs": graphs(candidates.members(models, device), batches[0]),
        "cgo": grouped(Group(candidates.members(models, device), programs), batches[0]),
    }
    turns: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(TURNS):
        for name, step in ways.items():
            turns[name].append(timed(step, batches, device))
    medians = {name: statistics.median(turn) for name, turn in turns.items()}
    return Sweep(case.name, size, processes=_processes(case, device), **medians)


def timed(step: Step, batches: Sequence[Batch], device: torch.device) -> float:
    """Milliseconds of a step, over a block of them."""
    _settle(device)
    start = time.perf_counter()
    for batch in batches:
        step(batch)
    _settle(device)
    return 1e3 * (time.perf_counter() - start) / len(batches)


def _settle(device: torch.device) -> None:
    """Wait for all that was started on a device; a CPU has done it."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def singly(members: Sequence[Member]) -> Step:
    """The step of members, one after another."""
    for member in members:
        member.begin(0)

    def step(batch: Batch) -> None:
        for member in members:
            member.step(batch, 10, STEPS)

    return step


def grouped(group: Group, batch: Batch) -> Step:
    """The step of a group that has chosen its way."""
    group.begin(0)

    def step(batch: Batch) -> None:
        group.step(batch, 10, STEPS)

    for _ in range(2 * (ROUNDS + 1) + 2):
        step(batch)
    return step


def _processes(case: Case, device: torch.device) -> float:
    """Milliseconds of a step of all models, which are spread over processes."""
    context = multiprocessing.get_context("spawn")
    number = min(case.size, os.cpu_count() or 1)
    barrier = context.Barrier(number + 1)
    workers = [
        context.Process(target=_work, args=(case.name, case.size, place, number, device, barrier))
        for place in range(number)
    ]
    for worker in workers:
        worker.start()
    try:
        barrier.wait(300)
        start = time.perf_counter()
        barrier.wait(300)
        return 1e3 * (time.perf_counter() - start) / (TURNS * BLOCK)
    finally:
        for worker in workers:
            worker.join()


def _work(
    name: str, size: int, place: int, number: int, device: torch.device, barrier: Barrier
) -> None:
    """Train every so-manieth model of a case."""
    torch.set_num_threads(1)
    case = next(case for case in CASES if case.name == name)
    candidates = Candidates(replace(case, size=size))
    candidates.plan()
    members = candidates.members(candidates.models(), device)[place::number]
    batches, step = candidates.batches(device, BLOCK), singly(members)
    timed(step, batches[:2], device)
    barrier.wait(300)
    for _ in range(TURNS):
        timed(step, batches, device)
    barrier.wait(300)


def sweep_table(found: Sequence[Sweep]) -> Table:
    """One row for each case and size."""
    table = Table(title="Groups of several sizes, milliseconds for a step of all models")
    table.add_column("case", no_wrap=True)
    columns = ("K", "one by one", "CUDA graphs", "processes", "cgo", "/ one", "/ graphs", "/ proc.")
    for name in columns:
        table.add_column(name, justify="right")
    for row in found:
        times = (row.single, row.graphs, row.processes)
        table.add_row(
            row.name, str(row.models), *(f"{ms:.2f}" for ms in (*times, row.cgo)),
            *(f"{ms / row.cgo:.2f}" for ms in times),
        )  # fmt: skip
    return table
