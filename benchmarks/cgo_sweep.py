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
from cgo_cases import CASES, STEPS, Candidates, Case, evaluator
from rich.table import Table
from torch import nn

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
    ways = {
        "single": _singly(members),
        "graphs": _graphs(candidates.members(models, device), batches[0]),
        "cgo": _grouped(Group(candidates.members(models, device), programs), batches[0]),
    }
    turns: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(TURNS):
        for name, step in ways.items():
            turns[name].append(_timed(step, batches, device))
    medians = {name: statistics.median(turn) for name, turn in turns.items()}
    return Sweep(case.name, size, processes=_processes(case, device), **medians)


def _timed(step: Step, batches: Sequence[Batch], device: torch.device) -> float:
    """Milliseconds of a step, over a block of them."""
    torch.accelerator.synchronize(device)
    start = time.perf_counter()
    for batch in batches:
        step(batch)
    torch.accelerator.synchronize(device)
    return 1e3 * (time.perf_counter() - start) / len(batches)


def _singly(members: Sequence[Member]) -> Step:
    for member in members:
        member.begin(0)

    def step(batch: Batch) -> None:
        for member in members:
            member.step(batch, 10, STEPS)

    return step


def _grouped(group: Group, batch: Batch) -> Step:
    """The step of a group that has chosen its way."""
    group.begin(0)

    def step(batch: Batch) -> None:
        group.step(batch, 10, STEPS)

    for _ in range(2 * (ROUNDS + 1) + 2):
        step(batch)
    return step


def _graphs(members: Sequence[Member], batch: Batch) -> Step:
    """The step of models that are recorded one by one, and replayed."""
    inputs, targets = (part.clone() for part in batch)
    graphs = [_captured(member.model.train(), inputs, targets) for member in members]

    def step(batch: Batch) -> None:
        inputs.copy_(batch[0])
        targets.copy_(batch[1])
        for graph in graphs:
            graph.replay()

    return step


def _captured(
    model: nn.Module, inputs: torch.Tensor, targets: torch.Tensor
) -> torch.cuda.CUDAGraph:
    """A whole step of a model as a graph (https://docs.pytorch.org/docs/stable/notes/cuda.html);
    the first steps, which allocate, run on a stream beside the usual one."""
    pieces = evaluator(3e-3, 1e-2)
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=pieces.lr, fused=True, capturable=True)

    def step() -> None:
        optimizer.zero_grad()
        pieces.losses(model(inputs), targets).mean().backward()
        optimizer.step()

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    optimizer.zero_grad()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph


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
    batches, step = candidates.batches(device, BLOCK), _singly(members)
    _timed(step, batches[:2], device)
    barrier.wait(300)
    for _ in range(TURNS):
        _timed(step, batches, device)
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
