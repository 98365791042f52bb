"""The contract of a group's optimizers, and the plain way to keep it: each takes its own step."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from copy import deepcopy
from typing import Any, final

from torch import Tensor, nn
from torch.optim import Optimizer

from runner.fusion.optimizers.gradients import Gradients, without_grad
from runner.fusion.packing import Packed


class Stacked(ABC):
    """Steps of K models, in each of them: `zero_grad`, backward passes, `clip` if wanted, `step`.

    A parameter that no backward pass has reached since `zero_grad` is left out of the step, as if
    its gradient were None. Where none was seen to arrive at all (a recorded graph is replayed, or
    gradients are written by hand), the same ones count as before, at first all.

    Nothing of one model, not even a NaN, gets into the numbers of another.
    """

    def __init__(self, packed: Sequence[Packed], optimizers: Sequence[Optimizer]) -> None:
        self.packed = packed
        self.optimizers = optimizers
        self.gradients = Gradients(packed)

    @abstractmethod
    def zero_grad(self) -> None:
        """Zero the gradients, in the memory where they are."""

    @abstractmethod
    def clip(self, max_norms: Sequence[float | None]) -> None:
        """Scale each model's gradient as `nn.utils.clip_grad_norm_` does; None: not at all."""

    @abstractmethod
    def step(self, lrs: Sequence[float], alive: Sequence[bool], scale: float = 1.0) -> None:
        """One step of each model that is alive, its rate times `scale`; the others and their states
        stay as they are. Rates that stay the same while `scale` changes are the fastest."""

    @final
    def export(self, model: int) -> dict[str, Any]:
        """A copy of what `state_dict` of the model's own optimizer gives."""
        state = self.optimizers[model].state_dict()
        return {name: _copied(part) for name, part in state.items()}

    @final
    def release(self) -> None:
        """Let go of the parameters; to be called once, when no more steps come."""
        self.gradients.release()


@final
class Separate(Stacked):
    """Each model's own optimizer, of any kind, takes the step."""

    def zero_grad(self) -> None:
        self.gradients.zero()

    def clip(self, max_norms: Sequence[float | None]) -> None:
        self.gradients.missing()
        for optimizer, norm in zip(self.optimizers, max_norms, strict=True):
            if norm is not None:
                nn.utils.clip_grad_norm_(_parameters(optimizer), norm)

    def step(self, lrs: Sequence[float], alive: Sequence[bool], scale: float = 1.0) -> None:
        with without_grad(own for _, own in self.gradients.missing()):
            take_steps(self.optimizers, lrs, alive, scale)


def take_steps(
    optimizers: Sequence[Optimizer], lrs: Sequence[float], alive: Sequence[bool], scale: float
) -> None:
    """A step of each optimizer whose model is alive."""
    for optimizer, lr, lives in zip(optimizers, lrs, alive, strict=True):
        if lives:
            for group in optimizer.param_groups:
                group["lr"] = lr * scale
            optimizer.step()


def _parameters(optimizer: Optimizer) -> list[Tensor]:
    return [tensor for group in optimizer.param_groups for tensor in group["params"]]


def _copied(value: Any) -> Any:
    """A copy in which no tensor is a view of another, as `deepcopy` would leave it."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, dict):
        return {name: _copied(item) for name, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list) else deepcopy(value)
