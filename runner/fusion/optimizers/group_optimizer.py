"""The interface of group optimizers, and its plain implementation with separate steps."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from copy import deepcopy
from typing import Any, final

from torch import Tensor, nn
from torch.optim import Optimizer

from runner.fusion.optimizers.gradients import Gradients, without_grad
from runner.fusion.packing.packing import Packed


class Stacked(ABC):
    """An optimizer of K models; each step is `zero_grad`, backward passes, optional `clip`, `step`.

    A parameter that no backward pass has reached since `zero_grad` is excluded from the step, as if
    its gradient were None. If no gradient was observed at all (a captured graph is replayed, or
    gradients are written by hand), the parameters of the last step are used, at first all.

    Models are isolated: no value of one model, not even a NaN, affects another.
    """

    def __init__(self, packed: Sequence[Packed], optimizers: Sequence[Optimizer]) -> None:
        self.packed = packed
        self.optimizers = optimizers
        self.gradients = Gradients(packed)

    @abstractmethod
    def zero_grad(self) -> None:
        """Zeroes the gradients in place."""

    @abstractmethod
    def clip(self, max_norms: Sequence[float | None]) -> None:
        """Clips each model's gradient norm as `nn.utils.clip_grad_norm_` does, unless None."""

    @abstractmethod
    def step(self, lrs: Sequence[float], alive: Sequence[bool], scale: float = 1.0) -> None:
        """Steps each model that is alive, with learning rate `lr * scale`; others and their states
        remain unchanged. Fastest if only `scale` changes between steps."""

    @final
    def export(self, model: int) -> dict[str, Any]:
        """Returns a copy of the `state_dict` of the model's own optimizer."""
        state = self.optimizers[model].state_dict()
        return {name: _copied(part) for name, part in state.items()}

    @final
    def release(self) -> None:
        """Removes the hooks from the parameters; to be called once, after the last step."""
        self.gradients.release()


@final
class Separate(Stacked):
    """A group optimizer that calls each model's own optimizer, of any class."""

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
    """Calls `step` of each optimizer whose model is alive, with learning rate `lr * scale`."""
    for optimizer, lr, lives in zip(optimizers, lrs, alive, strict=True):
        if lives:
            for group in optimizer.param_groups:
                group["lr"] = lr * scale
            optimizer.step()


def _parameters(optimizer: Optimizer) -> list[Tensor]:
    return [tensor for group in optimizer.param_groups for tensor in group["params"]]


def _copied(value: Any) -> Any:
    """Returns a deep copy in which no tensor is a view of another."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, dict):
        return {name: _copied(item) for name, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list) else deepcopy(value)
