"""Update rules of Adam, AdamW and SGD for the parameters of several models in one buffer."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor
from torch.optim.adam import adam
from torch.optim.adamw import adamw
from torch.optim.sgd import sgd

ParameterGroup = Mapping[str, Any]  # settings of an optimizer, except parameters and learning rate
LEFT_OUT = {"amsgrad", "maximize", "differentiable", "capturable", "dampening"}  # no rule has them
FUSED = ("cpu", "cuda")  # devices with fused kernels for all three rules in torch


@final
class Spread:
    """Per-model numbers, expanded to vectors over the buffer and cached by name. A changed vector
    overwrites the last one of its name."""

    def __init__(self, model_of: Tensor, dtype: torch.dtype) -> None:
        self._model_of = model_of  # (n,), for each element
        self._dtype = dtype
        self._kept: dict[str, tuple[list[float], Tensor]] = {}

    def vector(self, name: str, values: list[float]) -> Tensor:
        """Returns the number of each element's model, (n,); valid until the next call with
        this name."""
        values_before, vector = self._kept.get(name, (None, None))
        if vector is None or values_before != values:
            numbers = torch.tensor(values, dtype=self._dtype, device=self._model_of.device)
            vector = self.of(numbers, out=vector)
            self._kept[name] = (values, vector)
        return vector

    def number(self, name: str, values: list[float]) -> Any:
        """Returns the number if it is the same for all models, else `vector`."""
        return values[0] if len(set(values)) == 1 else self.vector(name, values)

    def of(self, numbers: Tensor, out: Tensor | None = None) -> Tensor:
        """Expands per-model numbers to elements: (K,) -> (n,)."""
        return torch.index_select(numbers, 0, self._model_of, out=out)


@final
@dataclass(frozen=True, slots=True)
class Buffers:
    """The buffers of all parameters of all models, (n,) each."""

    values: Tensor
    grads: Tensor
    states: Sequence[Tensor]  # one for each name of the rule
    scratch: Sequence[Tensor]  # two
    spread: Spread


@final
@dataclass(frozen=True, slots=True)
class StepSizes:
    """The step of K models: the learning rate of each, to be multiplied by `scale`, its number of
    steps including this one, and its settings."""

    lrs: Sequence[float]
    scale: float
    counts: Sequence[int]
    settings: Sequence[ParameterGroup]


class UpdateRule(ABC):
    """A rule that steps all parameters. `t` is the number of this step, from 1."""

    names: tuple[str, ...]  # of the states, as the optimizer calls them
    counts: bool  # whether an optimizer's states hold the number of steps

    @abstractmethod
    def whole(self, b: Buffers, lr: float, t: int, s: ParameterGroup) -> None:
        """Steps models that share learning rate, step count and settings."""

    @abstractmethod
    def apart(self, b: Buffers, own: StepSizes) -> None:
        """Steps models that differ in their learning rates, step counts or settings."""


@final
class AdamRule(UpdateRule):
    """Adam with L2 regularization or, if `decoupled`, with decoupled weight decay (AdamW)."""

    names = ("exp_avg", "exp_avg_sq")
    counts = True

    def __init__(self, decoupled: bool) -> None:
        self._decoupled = decoupled

    def whole(self, b: Buffers, lr: float, t: int, s: ParameterGroup) -> None:
        fused = b.values.device.type in FUSED
        # Filled where it is: a copy to a GPU would wait for all that was started there.
        clock = torch.full((), float(t - 1), device=b.values.device if fused else "cpu")
        beta1, beta2 = s["betas"]
        (adamw if self._decoupled else adam)(
            [b.values],
            [b.grads],
            [b.states[0]],
            [b.states[1]],
            [],
            [clock],
            fused=fused,
            amsgrad=False,
            beta1=beta1,
            beta2=beta2,
            lr=lr,
            weight_decay=s["weight_decay"],
            eps=s["eps"],
            maximize=False,
        )

    def apart(self, b: Buffers, own: StepSizes) -> None:
        (first, second), spread, (_, two) = b.states, b.spread, b.scratch
        g, scale = self._decayed(b, own), own.scale
        betas = [s["betas"] for s in own.settings]
        first.lerp_(g, spread.number("beta1", [1 - beta for beta, _ in betas]))
        torch.mul(g, g, out=two)
        second.lerp_(two, spread.number("beta2", [1 - beta for _, beta in betas]))
        # lr / c1 * m / (sqrt(v) / c2 + eps) = (lr / c1 * c2) * m / (sqrt(v) + c2 * eps)
        pairs = [*zip(betas, own.counts, strict=True)]
        roots = [(1 - beta**t) ** 0.5 for (_, beta), t in pairs]
        corrections = [c2 / (1 - beta**t) for ((beta, _), t), c2 in zip(pairs, roots, strict=True)]
        eps = [c2 * s["eps"] for c2, s in zip(roots, own.settings, strict=True)]
        torch.sqrt(second, out=two)
        two.add_(spread.number("eps", eps))
        torch.div(first, two, out=two)
        if len({*corrections}) == 1:
            rates, scale = [*own.lrs], scale * corrections[0]
        else:
            rates = [lr * c for lr, c in zip(own.lrs, corrections, strict=True)]
        b.values.addcmul_(two, spread.vector("rate", rates), value=-scale)

    def _decayed(self, b: Buffers, own: StepSizes) -> Tensor:
        """Applies weight decay; returns the gradient."""
        if not self._decoupled:
            return with_decay(b, own.settings)
        shares = [lr * s["weight_decay"] for lr, s in zip(own.lrs, own.settings, strict=True)]
        if any(shares):
            b.values.addcmul_(b.values, b.spread.vector("decay", shares), value=-own.scale)
        return b.grads


@final
class SgdRule(UpdateRule):
    """Stochastic gradient descent; without momentum, `names` is empty."""

    counts = False

    def __init__(self, momentum: bool) -> None:
        self.names = ("momentum_buffer",) if momentum else ()

    def whole(self, b: Buffers, lr: float, t: int, s: ParameterGroup) -> None:
        sgd(
            [b.values],
            [b.grads],
            [b.states[0] if b.states else None],
            fused=b.values.device.type in FUSED,
            weight_decay=s["weight_decay"],
            momentum=s["momentum"],
            lr=lr,
            dampening=0.0,
            nesterov=s["nesterov"],
            maximize=False,
        )

    def apart(self, b: Buffers, own: StepSizes) -> None:
        g = with_decay(b, own.settings)
        if b.states:
            state, momenta = b.states[0], [s["momentum"] for s in own.settings]
            state.mul_(b.spread.number("momentum", momenta)).add_(g)  # initially zero
            if own.settings[0]["nesterov"]:
                factors = b.spread.vector("nesterov", momenta)
                g = torch.addcmul(g, state, factors, out=b.scratch[1])
            else:
                g = state
        b.values.addcmul_(g, b.spread.vector("rate", [*own.lrs]), value=-own.scale)


def with_decay(b: Buffers, settings: Sequence[ParameterGroup]) -> Tensor:
    """Returns the gradient plus that of each model's L2 penalty."""
    factors = [s["weight_decay"] for s in settings]
    if not any(factors):
        return b.grads
    return torch.addcmul(b.grads, b.values, b.spread.vector("decay", factors), out=b.scratch[0])


def rule_of(kind: type, settings: Sequence[ParameterGroup]) -> UpdateRule | None:
    """Returns the rule of an optimizer class with these settings of K models, or None if no rule is
    equivalent."""
    if any(s[name] for s in settings for name in LEFT_OUT & set(s)):
        return None
    if kind in (torch.optim.Adam, torch.optim.AdamW):
        decoupled = {s.get("decoupled_weight_decay", kind is torch.optim.AdamW) for s in settings}
        return AdamRule(decoupled.pop()) if len(decoupled) == 1 else None
    if kind is torch.optim.SGD:
        forms = {(s["momentum"] != 0, s["nesterov"]) for s in settings}
        return SgdRule(forms.pop()[0]) if len(forms) == 1 else None
    return None
