"""The latency of a model, measured."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median, quantiles
from typing import final

import torch
from torch import Tensor, nn

from runner.errors import require
from runner.measures.measure import Measure


@final
class Latency(Measure):
    """Seconds of a forward pass in eval mode: the median of some runs.

    `device` is where it runs (None: where the trials train), with `threads` threads on a CPU.
    """

    unit = "s"

    def __init__(
        self, *, batch_size: int, repeats: int, warmup: int, threads: int, device: str | None
    ) -> None:
        for name, value in (("batch_size", batch_size), ("repeats", repeats), ("threads", threads)):
            require(value >= 1, f"measure.latency.{name}", value, "at least 1")
        require(warmup >= 0, "measure.latency.warmup", warmup, "0 or more")
        self.batch_size = batch_size
        self.repeats = repeats
        self.warmup = warmup
        self.threads = threads
        self.device = device
        self._noise: float | None = None

    def measure(self, model: nn.Module, example: Tensor, device: torch.device) -> float:
        place = device if self.device is None else torch.device(self.device)
        batch = example.expand(self.batch_size, *example.shape[1:]).contiguous().to(place)
        model = model.eval().to(place)
        with torch.inference_mode(), _threads(self.threads):
            for _ in range(self.warmup):
                model(batch)
            found = sorted(self._seconds(model, batch, place) for _ in range(self.repeats))
        middle = median(found)
        low, _, high = quantiles(found, n=4) if len(found) > 1 else (middle, middle, middle)
        self._noise = (high - low) / middle
        return middle

    def noise(self) -> float | None:
        return self._noise

    @staticmethod
    def _seconds(model: nn.Module, batch: Tensor, place: torch.device) -> float:
        _wait(place)
        start = time.perf_counter()
        model(batch)
        _wait(place)
        return time.perf_counter() - start


def _wait(place: torch.device) -> None:
    if place.type != "cpu":
        torch.accelerator.synchronize(place)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
