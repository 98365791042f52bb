"""What a trial would cost: a few steps of its training, on its real data and device."""

import resource
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, final

import torch
from torch import nn
from torch.utils.data import Dataset, Subset

from runner.data.data import Batch, SearchData, Split
from runner.evaluators.evaluator import Evaluator, Span, TrainingRun
from runner.trial import Metrics

BATCH = 64  # examples of a step, of an evaluator that does not say how many
STEP, SCORING, EPOCH = "check/step", "check/scoring", "check/epoch"  # seconds
MEMORY = "check/memory"  # bytes, at their peak


@final
class FirstExamples(Split):
    """The first examples of a split, in whatever order they come."""

    def __init__(self, split: Split, count: int) -> None:
        self._split = split
        self._count = min(count, len(split))
        self.fixed = False  # others may come with another order

    def __len__(self) -> int:
        return self._count

    def examples(self) -> Dataset[Any]:
        return Subset(self._split.examples(), range(self._count))

    def batches(
        self, size: int, device: torch.device, shuffle: torch.Generator | None = None
    ) -> Iterator[Batch]:
        left = self._count
        for inputs, targets in self._split.batches(size, device, shuffle):
            yield inputs[:left], targets[:left]
            left -= len(targets)
            if left <= 0:
                return


def check_training(
    evaluator: Evaluator, model: nn.Module, data: SearchData, run: TrainingRun
) -> Metrics:
    """Trains a model for one step and scores it, then a few more times to see how long that takes.
    All replicas of the model do the same.

    Returns the seconds of a step, of scoring the validation split, and of an epoch of both, as far
    as they are known, and the peak memory. Raises what a training would raise.
    """
    device = run.device
    if device.type == "cuda":
        torch.cuda.init()  # type: ignore[no-untyped-call] # before, there are no statistics
        torch.cuda.reset_peak_memory_stats(device)
    size = getattr(evaluator, "batch_size", BATCH)
    span = Span(0, 1) if evaluator.divides else None

    def seconds(steps: int, scored: int) -> tuple[float, SearchData]:
        part = SearchData(
            FirstExamples(data.train, steps * size), FirstExamples(data.validation, scored * size)
        )
        begin = _now(device)
        evaluator.evaluate([model], part, replace(run, span=span))
        return _now(device) - begin, part

    seconds(1, 1)  # finds what fails; and is slower than the rest
    if not evaluator.divides:
        return {MEMORY: _peak(device)}
    usual, part = seconds(1, 1)
    more, longer = seconds(3, 1)
    scoring, wider = seconds(1, 3)
    step = _rate(more - usual, len(longer.train) - len(part.train), usual, len(part.train)) * size
    score = _rate(scoring - usual, len(wider.validation) - len(part.validation), 0.0, 1)
    whole = len(data.validation) * score
    steps = -(-len(data.train) // size)
    return {STEP: step, SCORING: whole, EPOCH: steps * step + whole, MEMORY: _peak(device)}


def _rate(seconds: float, examples: int, otherwise: float, of: int) -> float:
    """Returns seconds per example; `otherwise / of` if there were no more examples to compare."""
    return max(seconds, 0.0) / examples if examples > 0 else otherwise / of


def _now(device: torch.device) -> float:
    """Returns the time in seconds, once the device has done what it was asked to."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _peak(device: torch.device) -> float:
    """Returns the most memory that was in use, in bytes: of the device, or of this process."""
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device))
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)
