"""Scores of the candidates of a pre-screen, in a worker: a proxy, on one batch of the training."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, final

import torch
from torch import nn

from runner.config.instantiate import build
from runner.data.data import Batch, SearchData
from runner.proxies.proxy import Proxy, TrainingLoss

CPU = torch.device("cpu")


@final
class CandidateScores:
    """The proxy of a search, and the examples that all models are scored on: the first batch of the
    training data in a random order, which is always the same."""

    def __init__(self, screen: Mapping[str, Any], trust: Sequence[str]) -> None:
        """Takes `Setup.screen`."""
        self._screen = screen
        self._trust = trust
        self._kept: tuple[str, Batch] | None = None  # and the key of its data

    @cached_property
    def _proxy(self) -> Proxy:
        made: Proxy = build(self._screen["proxy"], self._trust)
        return made

    def of(
        self,
        model: nn.Module,
        data: Callable[[], tuple[str, SearchData]],
        loss: TrainingLoss | None,
        device: torch.device,
    ) -> float:
        """Returns the score of a model, which is spent by that. `data` returns the splits of the
        search, and a text that is equal for equal data. Raises ArithmeticError for a score that is
        not finite."""
        batch = self._batch(data) if self._proxy.runs else (torch.empty(0), torch.empty(0))
        inputs, targets = (part.clone().to(device) for part in batch)
        found = self._proxy.score(model.to(device), (inputs, targets), loss)
        score = float(found.detach() if isinstance(found, torch.Tensor) else found)
        if not math.isfinite(score):
            raise ArithmeticError(f"its score is {score}")
        return score

    def _batch(self, data: Callable[[], tuple[str, SearchData]]) -> Batch:
        key, found = data()
        if self._kept is None or self._kept[0] != key:
            order = torch.Generator().manual_seed(0)
            size = self._screen["batch_size"]
            self._kept = key, next(iter(found.train.batches(size, CPU, order)))
        return self._kept[1]
