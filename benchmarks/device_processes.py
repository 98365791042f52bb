"""Warm processes that train a part of a group's models each, all at once on one device."""

import multiprocessing
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Any, final

import torch
from cgo_cases import CASES, Candidates
from cgo_sweep import Step, singly, timed

from runner.data.data import Batch
from runner.evaluators.member import Member
from runner.evaluators.replicas import OneReplica

Models = tuple[Step, list[Batch]]


class Unanswered(Exception):
    """Some process did not answer in time, or failed; the message says how."""


@final
class Processes:
    """Processes that wait for work. They are new ones: CUDA does not survive a fork."""

    def __init__(self, number: int, device: str) -> None:
        context = multiprocessing.get_context("spawn")
        self._workers: list[tuple[Any, Connection]] = []
        self._busy: Sequence[Connection] = ()  # those with models
        self._problem = ""  # after which no answer could be told from an older one
        for _ in range(number):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, device), daemon=True)
            process.start()
            theirs.close()
            self._workers.append((process, ours))

    def take(self, case: str, size: int, seconds: float) -> int:
        """Spread the models of a case over the processes, at least one for each; returns how many
        have some."""
        number = min(size, len(self._workers))
        self._busy = [pipe for _, pipe in self._workers]  # the others free what they had
        self._ask([(case, size if i < number else 0, i, number) for i in range(len(self._busy))])
        self._answers(seconds)
        self._busy = self._busy[:number]
        return number

    def timed(self, steps: int, seconds: float) -> float:
        """Milliseconds of a step of all models, over some steps."""
        start = time.perf_counter()
        self._ask([steps] * len(self._busy))
        self._answers(seconds)
        return 1e3 * (time.perf_counter() - start) / steps

    def _ask(self, questions: Sequence[Any]) -> None:
        with suppress(OSError):  # of a process that died, which the answers will tell
            for pipe, question in zip(self._busy, questions, strict=True):
                pipe.send(question)

    def _answers(self, seconds: float) -> None:
        ends = time.monotonic() + seconds
        for pipe in [] if self._problem else self._busy:
            try:
                in_time = pipe.poll(max(0.0, ends - time.monotonic()))
                answer = pipe.recv() if in_time else f"no answer within {seconds:.0f} s"
            except (EOFError, OSError):
                answer = "a process died"
            self._problem = self._problem or answer
        if self._problem:
            raise Unanswered(self._problem)

    def close(self) -> None:
        """End all processes."""
        for process, _ in self._workers:
            process.kill()
        for process, pipe in self._workers:
            process.join(5)
            pipe.close()


def _serve(pipe: Connection, device: str) -> None:
    """Take models, and train them for some steps whenever that is asked."""
    torch.set_num_threads(1)
    place = torch.device(device)
    torch.zeros(1, device=place)  # starts CUDA while nothing is measured yet
    found: Models | None = None
    while True:
        asked = pipe.recv()
        try:
            if isinstance(asked, int):
                assert found is not None
                step, batches = found
                timed(step, [batches[i % len(batches)] for i in range(asked)], place)
            else:
                found = None  # frees the device for others
                found = _models(asked, place)
            pipe.send("")
        except Exception as error:
            pipe.send(f"{type(error).__name__}: {' '.join(str(error).split())[:200]}")


def _models(asked: tuple[str, int, int, int], device: torch.device) -> Models | None:
    """The step of every so-manieth model of a case, and batches; None of a case of no models."""
    name, size, place, number = asked
    if not size:
        return None
    [case] = [replace(case, size=size) for case in CASES if case.name == name]
    candidates = Candidates(case)
    candidates.plan()
    members = candidates.members(candidates.models(), torch.device("cpu"))[place::number]
    step = singly(
        [Member(one.model, one.recipe, one.seed, device, OneReplica()) for one in members]
    )
    batches = candidates.batches(device, 8)
    timed(step, batches[:2], device)
    return step, batches
