"""Random number streams: each model of a group draws the numbers that it would draw alone."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from typing import Any, final

import torch
from torch import Tensor

from runner.fusion.packing.layout import Layout

SELU = 1.7580993408473766  # minus the limit of SELU at minus infinity


@final
class Streams:
    """The generators of each model, on the CPU and on the device, in the state of the global ones
    after `torch.manual_seed` with its seed.

    On a CPU, numbers equal those of separate training bit for bit; on an accelerator, whose native
    dropout draws differently, only in distribution. Models are independent of each other on both.
    """

    def __init__(self, seeds: Sequence[int], device: torch.device) -> None:
        self._globals = _global_generators(device)
        self._generators = [[torch.Generator(g.device) for g in self._globals] for _ in seeds]
        for model, seed in enumerate(seeds):
            self.seed(model, seed)

    def part(self, models: Sequence[int]) -> "Streams":
        """Returns the streams of some of the models, with the same generators."""
        part = copy(self)
        part._generators = [self._generators[model] for model in models]
        return part

    @contextmanager
    def sparing(self) -> Iterator[None]:
        """Restores the state of every generator on exit."""
        kept = [[g.get_state() for g in own] for own in self._generators]
        try:
            yield
        finally:
            for own, states in zip(self._generators, kept, strict=True):
                _set(own, states)

    def seed(self, model: int, seed: int) -> None:
        """Seeds the generators of a model."""
        for generator in self._generators[model]:
            generator.manual_seed(seed)

    @contextmanager
    def of(self, model: int) -> Iterator[None]:
        """Runs the block under this model's random state, in place of torch's global one."""
        before = [generator.get_state() for generator in self._globals]
        _set(self._globals, [own.get_state() for own in self._generators[model]])
        try:
            yield
        finally:
            _set(self._generators[model], [g.get_state() for g in self._globals])
            _set(self._globals, before)

    def dropout(
        self,
        x: Tensor,
        p: float | Sequence[float],
        models: Sequence[int],
        layout: Layout,
        *,
        feature: bool = False,
        alpha: bool = False,
    ) -> Tensor:
        """Applies dropout in train mode, with a mask of its own for each model in the tensor.

        `p`: the probability of zero, one for all or one for each. `feature`: drops whole channels,
        as `F.dropout2d` does. `alpha`: as in `F.alpha_dropout`.
        """
        rates = [float(p)] * len(models) if isinstance(p, int | float) else list(p)
        if not any(rates) or not x.numel():
            return x
        factors = self._kept(x, rates, models, layout, feature)
        dim = 1 if layout == Layout.CHANNELS else 0
        if alpha:
            summands = _alpha_terms(factors, len(models), dim, rates)
            return x * factors + summands
        if len(set(rates)) == 1:
            return x * _scaled(factors, rates[0])
        for part, rate in zip(factors.chunk(len(models), dim), rates, strict=True):
            _scaled(part, rate)
        return x * factors

    def _kept(
        self,
        x: Tensor,
        rates: Sequence[float],
        models: Sequence[int],
        layout: Layout,
        feature: bool,
    ) -> Tensor:
        """Returns the mask of a tensor: ones for values that are kept, and zeros.

        Numbers are drawn in memory order, for each model into a tensor with the memory format
        that its own would have.
        """
        channels = (2 if layout == Layout.STACKED else 1) if feature else None
        if layout == Layout.CHANNELS:
            owns = [_blank(part, channels) for part in x.chunk(len(models), 1)]
            return torch.cat(list(map(self._draw, owns, rates, models)), 1)
        kept = _blank(x, channels)
        for part, rate, model in zip(kept.chunk(len(models), 0), rates, models, strict=True):
            self._draw(part, rate, model)
        return kept

    def _draw(self, blank: Tensor, rate: float, model: int) -> Tensor:
        """Fills a tensor with a model's Bernoulli samples; draws none for a rate of 0 or 1."""
        if rate in (0.0, 1.0):
            return blank.fill_(1 - rate)
        return blank.bernoulli_(1 - rate, generator=self._generators[model][-1])


def _blank(x: Tensor, channels: int | None) -> Tensor:
    """Returns an uninitialized mask of all values, or of whole channels (their dimension)."""
    if channels is None:
        return torch.empty_like(x, requires_grad=False)
    return x.new_empty(x.shape[: channels + 1] + (1,) * (x.dim() - channels - 1))


def _set(generators: Sequence[torch.Generator], states: Sequence[Tensor]) -> None:
    for generator, state in zip(generators, states, strict=True):
        generator.set_state(state)


def _scaled(kept: Tensor, rate: float) -> Tensor:
    """Scales a mask in place so that dropout preserves the mean."""
    return kept.div_(1 - rate) if rate < 1 else kept


def _alpha_terms(kept: Tensor, models: int, dim: int, rates: Sequence[float]) -> Tensor:
    """Scales the mask in place, and returns the terms to be added after multiplying by it: dropped
    values become SELU's limit, mean and variance are preserved (Klambauer et al. 2017,
    https://arxiv.org/abs/1706.02515)."""
    summands = kept - 1
    parts = zip(kept.chunk(models, dim), summands.chunk(models, dim), rates, strict=True)
    for factor, summand, rate in parts:
        inner = 0 < rate < 1  # else there is nothing to compensate
        scale = 1 / math.sqrt((SELU * SELU * rate + 1) * (1 - rate)) if inner else 1.0
        summand.mul_(SELU * scale if inner else 0.0).add_(SELU * scale * rate if inner else 0.0)
        factor.mul_(scale)
    return summands


def _global_generators(device: torch.device) -> list[torch.Generator]:
    """Returns the global generator of the CPU and, on CUDA, that of the device."""
    if device.type != "cuda":
        return [torch.default_generator]
    cuda: Any = torch.cuda
    cuda.init()  # before, there are no generators of GPUs
    index = cuda.current_device() if device.index is None else device.index
    return [torch.default_generator, cuda.default_generators[index]]
