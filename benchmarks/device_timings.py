"""How long a step of several models takes: one by one, as a group of engine=cgo, as CUDA graphs of
each and of the group, and in several processes."""

import gc
import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, final

import torch
from cgo_cases import CASES, Candidates, Case
from cgo_graphs import Replay, eager_loss, fused_graph, graphs
from cgo_sweep import Step, grouped, singly, timed
from device_processes import Processes, Unanswered
from device_task import NO_CUDA, NO_TIME, Row, Task, checked, noted, skipped

from runner.data.data import Batch
from runner.evaluators.group import Group

FAMILIES = {"mlp": ("tiny MLP, 16 rates", (1, 16, 64)), "cnn": ("small CNN", (1, 8, 32)),
            "cells": ("cell, same", (1, 8, 32))}  # fmt: skip
QUICK = (1, 2)
CAPTURED = ("graphs", "fused_graph")
MOST = 16  # processes; each has its own context on the device
EQUAL = 1e-2  # relative error of losses after five steps, with TF32
BLOCK = 0.06  # seconds of steps that are timed together, but 2 to 100 steps
ROUNDS = (3, 25)  # at least and at most; quick: (2, 2)
START = 60.0  # seconds that processes may take to start


@final
@dataclass
class Ways:
    """Ways to take a step of the same models, and what each needed."""

    device: torch.device
    batches: list[Batch]
    steps: dict[str, Step] = field(default_factory=dict)
    memory: dict[str, float] = field(default_factory=dict)  # MiB at most, beside the other ways
    problems: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, make: Callable[[], Step]) -> None:
        """Make a way and take two steps. A capture that fails is no problem of the others."""
        gc.collect()
        is_cuda = self.device.type == "cuda"
        before = torch.cuda.memory_allocated(self.device) if is_cuda else 0
        if is_cuda:
            torch.cuda.reset_peak_memory_stats(self.device)
        try:
            step = make()
            timed(step, self.batches[:2], self.device)
        except RuntimeError as error:
            if name not in CAPTURED:
                raise
            self.problems[name] = " ".join(str(error).split())[:200]
            with suppress(RuntimeError):
                torch.cuda.synchronize()
            return
        self.steps[name] = step
        if is_cuda:
            peak = torch.cuda.max_memory_allocated(self.device) - before
            self.memory[name] = peak / 2**20

    def timed(self, name: str, count: int) -> float:
        """Milliseconds of a step."""
        batches = [self.batches[i % len(self.batches)] for i in range(count)]
        return timed(self.steps[name], batches, self.device)

    def block(self, name: str) -> int:
        """The steps that are timed together."""
        return max(2, min(100, int(1e3 * BLOCK / self.timed(name, 2))))


def run(task: Task) -> Iterator[Row]:
    """Time a family of models in groups of several sizes."""
    name, whole = FAMILIES[task.part]
    sizes = QUICK if task.quick else whole
    if not task.is_cuda:
        yield skipped("CUDA graphs", NO_CUDA)
    [case] = [case for case in CASES if case.name == name]
    cores = len(os.sched_getaffinity(0))
    processes = Processes(min(MOST, cores, max(sizes)), task.device)
    gc.collect()
    gc.freeze()  # a capture collects garbage, of what was imported as well
    try:
        for place, size in enumerate(sizes):
            if task.left < 3:
                yield skipped(f"{name}, K = {size}", NO_TIME)
                continue
            ends = time.monotonic() + task.left / (len(sizes) - place)
            yield from measured(replace(case, size=size), task, ends, processes)
    finally:
        processes.close()


def measured(case: Case, task: Task, ends: float, processes: Processes) -> Iterator[Row]:
    """The medians of a case, over rounds in which the ways take turns."""
    group, ways, expected = made(case, torch.device(task.device))
    for name, step in ways.steps.items():
        if isinstance(step, Replay) and expected:
            what = f"{case.name}, K = {case.size}: loss of {name} and of eager steps"
            yield checked(what, abs(step.loss() / expected - 1), EQUAL)
    own: dict[str, Callable[[], float]] = {
        name: partial(ways.timed, name, ways.block(name)) for name in ways.steps
    }
    number = 0
    try:
        if case.size > 1:
            patience = min(START, max(1.0, task.left - 5))
            number = processes.take(case.name, case.size, patience)
            first = processes.timed(2, patience)
            count = max(2, min(100, int(1e3 * BLOCK / first)))
            own["processes"] = partial(processes.timed, count, 30.0)
    except Unanswered as problem:
        ways.problems["processes"] = str(problem)
    rounds: list[dict[str, float]] = []
    try:
        least, most = (2, 2) if task.quick else ROUNDS
        while (
            not rounds
            or (len(rounds) < least and task.left > 0)
            or (len(rounds) < most and time.monotonic() < ends)
        ):
            rounds.append({name: way() for name, way in own.items()})
    except Unanswered as problem:
        ways.problems["processes"] = str(problem)
    for name, problem_ in ways.problems.items():
        yield skipped(f"{case.name}, K = {case.size}: {name}", problem_)
    if not rounds:
        return
    gain = group.end()
    if group.lost:
        yield noted(f"{case.name}, K = {case.size}: {len(group.lost)} models were lost.")
    yield {"timings": {
        "case": case.name, "models": case.size, "rounds": len(rounds), "processes": number,
        "ms": {name: statistics.median(one[name] for one in rounds) for name in own},
        "speedup": {
            name: statistics.median(one["single"] / one[name] for one in rounds) for name in own
        },
        "memory": ways.memory,
        "race": {"speedup": gain.speedup, "launches": gain.launches,
                 "operations": gain.operations, "why": gain.why},
    }}  # fmt: skip
    if case.size > 1 and gain.why:
        yield noted(f"{case.name}, K = {case.size}: cgo trains them one by one: {gain.why}.")


def made(case: Case, device: torch.device) -> tuple[Group, Ways, float]:
    """All ways to train the models of a case that this device has; the group is one of them. Also
    what the loss of graphs is to be by now, 0 without any."""
    candidates = Candidates(case)
    candidates.plan()
    models, batches = candidates.models(), candidates.batches(device, 8)
    programs = candidates.programs() if case.size > 1 else []
    ways = Ways(device, batches)
    held: list[Any] = []
    expected = 0.0

    def group() -> Step:
        held.append(Group(candidates.members(models, device), programs))
        return grouped(held[0], batches[0])

    ways.add("single", lambda: singly(candidates.members(models, device)))
    ways.add("cgo", group)
    if device.type == "cuda":
        ways.add("graphs", lambda: graphs(candidates.members(models, device), batches[0]))
        if case.size > 1:
            copies = candidates.members(models, torch.device("cpu"))
            ways.add("fused_graph", lambda: fused_graph(
                candidates, [one.model for one in copies], batches[0]))  # fmt: skip
        expected = eager_loss(candidates.members(models, device), batches[:2])
    return held[0], ways, expected
