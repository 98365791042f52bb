"""Flat optimizer: steps all models with a few operations on one buffer of their parameters."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from typing import final

import torch
from torch import Tensor
from torch.optim import Optimizer

from runner.fusion.optimizers.gradients import without_grad
from runner.fusion.optimizers.group_optimizer import Stacked, take_steps
from runner.fusion.optimizers.update_rules import (
    Buffers,
    ParameterGroup,
    Spread,
    StepSizes,
    rule_of,
)
from runner.fusion.packing.packing import Packed, strides

# Up to this mean number of elements per parameter, models with different settings step faster
# together than separately (8 x AdamW(fused=True), one CPU thread: 3.2 to 3.9 times as fast at 500
# elements, 1.5 to 1.7 at 2000, 0.9 to 1.2 at 4000, 0.4 to 0.5 at 16000). Equal ones do at any size.
SMALL = 4000
ALIGNED = 16  # elements; parameters start on a cache line


@final
@dataclass(frozen=True, slots=True)
class Segment:
    """The location of one model's own parameter in the buffer, in elements."""

    model: int
    own: Tensor
    start: int
    size: int
    span: int  # up to the next segment


@final
class Flat(Stacked):
    """An optimizer with parameters, gradients and states of Adam, AdamW or SGD in 1-d buffers, of
    which those of the models and their own optimizers are views.

    Models with the same settings, learning rate and step count are stepped by one kernel, others,
    if small, by about ten operations with vectors of settings. The remaining cases (large models,
    parameters without a gradient) are left to the own optimizers.
    """

    @staticmethod
    def takes(packed: Sequence[Packed], optimizers: Sequence[Optimizer]) -> bool:
        """Returns whether these optimizers and tensors are supported."""
        own = [[p for group in o.param_groups for p in group["params"]] for o in optimizers]
        owned = [set(parameters) for parameters in own]
        tensors = [pack.tensor for pack in packed]
        return (
            bool(tensors)
            and len({type(optimizer) for optimizer in optimizers}) == 1
            and all(len(optimizer.param_groups) == 1 for optimizer in optimizers)
            and all(p in owned[model] for pack in packed for model, p in pack.owners)
            and len({(tensor.device, tensor.dtype) for tensor in tensors}) == 1
            and tensors[0].dtype in (torch.float32, torch.float64)
            and not any(isinstance(x, Tensor) for s in _settings(optimizers) for x in s.values())
            and rule_of(type(optimizers[0]), _settings(optimizers)) is not None
        )

    def __init__(self, packed: Sequence[Packed], optimizers: Sequence[Optimizer]) -> None:
        self._settings = _settings(optimizers)
        self._kinds = [str(settings) for settings in self._settings]
        rule = rule_of(type(optimizers[0]), self._settings)
        assert rule is not None, "takes() was not called"
        self._rule = rule
        self._segments = _segments(packed)
        length = sum(segment.span for segment in self._segments)
        like = packed[0].tensor
        values, grads, *rest = (
            torch.zeros(length, dtype=like.dtype, device=like.device)
            for _ in range(4 + len(self._rule.names))
        )
        for pack, start in zip(packed, _starts(packed), strict=True):
            data = window(pack.tensor, values, start).copy_(pack.tensor.detach())
            pack.hold(data, window(pack.tensor, grads, start))
        super().__init__(packed, optimizers)
        self._small = length <= SMALL * len(self._segments)
        spans = torch.tensor([segment.span for segment in self._segments])
        self._owner = torch.tensor([segment.model for segment in self._segments])
        model_of = self._owner.repeat_interleave(spans).to(like.device, torch.int32)
        self._buffers = Buffers(values, grads, rest[2:], rest[:2], Spread(model_of, like.dtype))
        self._norms = Norms(self._segments, grads, len(optimizers))
        self._steps = self._take_states()
        taken = list(zip(self._owner.tolist(), self._steps.tolist(), strict=True))
        counts = [{int(n) for i, n in taken if i == model} for model in range(len(optimizers))]
        self._ts = [max(numbers, default=0) for numbers in counts]
        self._ragged = any(len(numbers) > 1 for numbers in counts)  # parameters that joined late
        self._idle: tuple[tuple[bool, ...], Tensor] | None = None

    def zero_grad(self) -> None:
        self._buffers.grads.zero_()
        self.gradients.forget()

    def clip(self, max_norms: Sequence[float | None]) -> None:
        if any(norm is not None for norm in max_norms):
            self.gradients.missing()
            factors = self._norms.factors(max_norms)
            if self._small:
                self._buffers.grads.mul_(self._buffers.spread.of(factors))
            else:
                self._norms.scale(factors)

    def step(self, lrs: Sequence[float], alive: Sequence[bool], scale: float = 1.0) -> None:
        living = [model for model, lives in enumerate(alive) if lives]
        missing = [own for model, own in self.gradients.missing() if alive[model]]
        self._ragged |= bool(missing) and self._rule.counts
        if missing or self._ragged or not (self._small or self._alike(lrs, living)):
            with without_grad(missing):
                take_steps(self.optimizers, lrs, alive, scale)
        elif living:
            with torch.no_grad(), self._sparing(alive):
                self._step_at_once(lrs, scale, living)
            self._count([lr * scale for lr in lrs], alive)
        for model in living:
            self._ts[model] += 1

    def _step_at_once(self, lrs: Sequence[float], scale: float, living: Sequence[int]) -> None:
        """Steps all models at once; dead ones, to be restored, with the count of a living one."""
        first = living[0]
        ts = [self._ts[model if model in living else first] + 1 for model in range(len(lrs))]
        if self._alike(lrs, living):
            self._rule.whole(self._buffers, lrs[first] * scale, ts[first], self._settings[first])
        else:
            self._rule.apart(self._buffers, StepSizes(lrs, scale, ts, self._settings))

    def _alike(self, lrs: Sequence[float], living: Sequence[int]) -> bool:
        """Returns whether one kernel can step all living models. Rates and settings of dead ones
        count, too, so that the death of a model does not change how others are stepped."""
        steps = {self._ts[model] for model in living}
        return len({*zip(lrs, self._kinds, strict=True)}) == len(steps) == 1

    @contextmanager
    def _sparing(self, alive: Sequence[bool]) -> Iterator[None]:
        """Restores the parameters and states of models that are not alive on exit."""
        if all(alive):
            yield
            return
        if self._idle is None or self._idle[0] != tuple(alive):
            idle = torch.tensor([not lives for lives in alive], device=self._buffers.values.device)
            self._idle = (tuple(alive), self._buffers.spread.of(idle).nonzero().squeeze(1))
        elements, buffers = self._idle[1], (self._buffers.values, *self._buffers.states)
        kept = [buffer[elements] for buffer in buffers]
        yield
        for buffer, values in zip(buffers, kept, strict=True):
            buffer[elements] = values

    def _count(self, lrs: Sequence[float], alive: Sequence[bool]) -> None:
        """Updates step counts and learning rates in the optimizers of living models."""
        self._steps += 1.0 if all(alive) else torch.tensor(alive)[self._owner].to(self._steps)
        for optimizer, lr, lives in zip(self.optimizers, lrs, alive, strict=True):
            if lives:
                optimizer.param_groups[0]["lr"] = lr

    def _take_states(self) -> Tensor:
        """Moves the optimizers' states to the buffers, and replaces them by views.

        Returns the step count of each segment.
        """
        place = self._buffers.values.device if self._settings[0].get("fused") else "cpu"
        steps = torch.zeros(len(self._segments), device=place)
        for segment, step in zip(self._segments, steps.unbind(), strict=True):
            state = self.optimizers[segment.model].state[segment.own]
            views = {
                name: window(segment.own, buffer, segment.start)
                for name, buffer in zip(self._rule.names, self._buffers.states, strict=True)
            }
            if self._rule.counts:
                views["step"] = step
            for name, view in views.items():
                if state.get(name) is not None:
                    view.copy_(state[name])
            state.update(views)
        return steps


@final
class Norms:
    """Gradient norms of K models with S segments."""

    def __init__(self, segments: Sequence[Segment], grads: Tensor, models: int) -> None:
        of = [[i for i, s in enumerate(segments) if s.model == model] for model in range(models)]
        width = max(map(len, of))
        none = len(segments)  # index of a norm of zero, as padding
        rows = [row + [none] * (width - len(row)) for row in of]
        self._rows = torch.tensor(rows, device=grads.device)  # (K, width)
        self._zero = grads.new_zeros(1)
        runs = _runs(segments)
        self._blocks = [grads[start : start + n * size].view(n, size) for start, size, n in runs]
        self._owner = torch.tensor([[s.model] for s in segments], device=grads.device)  # (S, 1)

    def factors(self, max_norms: Sequence[float | None]) -> Tensor:
        """Returns the clipping factors of gradients for these maximum norms, (K,)."""
        norms = [torch.linalg.vector_norm(block, dim=1) for block in self._blocks]
        totals = torch.linalg.vector_norm(torch.cat([*norms, self._zero])[self._rows], dim=1)
        limits = totals.new_tensor([math.nan if norm is None else norm for norm in max_norms])
        factors = (limits / (totals + 1e-6)).clamp(max=1.0)
        return torch.where(limits.isnan(), 1.0, factors)

    def scale(self, factors: Tensor) -> None:
        """Multiplies the gradients by factors, (K,), one run of segments at a time."""
        columns = torch.split(factors[self._owner], [len(block) for block in self._blocks])
        for block, column in zip(self._blocks, columns, strict=True):
            block.mul_(column)


def window(like: Tensor, buffer: Tensor, start: int) -> Tensor:
    """Returns a view of a buffer with the shape and memory format of a tensor."""
    return buffer.as_strided(like.shape, strides(like), start)


def _starts(packed: Sequence[Packed]) -> list[int]:
    """Returns the start of each tensor in the buffer, in elements."""
    spans = [_aligned(pack.tensor.numel()) for pack in packed]
    return list(accumulate(spans, initial=0))[:-1]


def _aligned(size: int) -> int:
    return -(-size // ALIGNED) * ALIGNED


def _segments(packed: Sequence[Packed]) -> list[Segment]:
    segments = []
    for pack, start in zip(packed, _starts(packed), strict=True):
        size = pack.tensor.numel() // len(pack.owners)
        gap = _aligned(pack.tensor.numel()) - pack.tensor.numel()
        for place, (model, own) in enumerate(pack.owners):
            span = size + (gap if place == len(pack.owners) - 1 else 0)
            segments.append(Segment(model, own, start + place * size, size, span))
    return segments


def _runs(segments: Sequence[Segment]) -> list[tuple[int, int, int]]:
    """Returns runs of adjacent segments of equal size: (start, size, count)."""
    runs: list[tuple[int, int, int]] = []
    for segment in segments:
        start, size, n = runs[-1] if runs else (0, -1, 0)
        if size == segment.size and start + n * size == segment.start:
            runs[-1] = (start, size, n + 1)
        else:
            runs.append((segment.start, segment.size, 1))
    return runs


def _settings(optimizers: Sequence[Optimizer]) -> list[ParameterGroup]:
    """Returns the settings of each model, without parameters and learning rate."""
    groups = [optimizer.param_groups[0] for optimizer in optimizers]
    return [{k: v for k, v in group.items() if k not in ("params", "lr")} for group in groups]
