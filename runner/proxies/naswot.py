"""NASWOT (Mellor et al. 2021, https://arxiv.org/abs/2006.04647, version 3)."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from runner.data.data import Batch
from runner.errors import ConfigError
from runner.proxies.proxy import Proxy, TrainingLoss, in_training

# Activations with a kink or a gate at zero: the sign of an input is one bit of a code.
ACTIVATIONS = {
    f"aten::{name}{in_place}"
    for in_place in ("", "_")
    for name in ("relu", "hardtanh", "leaky_relu", "_prelu_kernel", "elu", "celu", "gelu", "silu",
                 "mish", "hardswish", "softplus", "rrelu_with_noise", "threshold")
}  # fmt: skip
RIDGE = 1e-5  # as that of the authors' earlier score, `jacob_cov`


@final
class Naswot(Proxy):
    """How different the examples of a batch are to a model: the logarithm of the determinant of a
    matrix that counts, for each two of them, the units that are both active or both not.

    A unit is active if its input of an activation function is above zero; functions that are called
    several times count each time. It needs ReLU or one that is like it, such as GELU. A small
    number is added to the diagonal, so that two equal examples cost much, rather than everything.
    """

    def score(self, model: nn.Module, batch: Batch, loss: TrainingLoss | None) -> float:
        codes = ActivationCodes(len(batch[0]))
        with torch.no_grad(), codes:
            in_training(model)(batch[0])
        if not codes.count:
            raise ConfigError(
                "naswot compares what activations such as ReLU do with examples, and this model "
                "has none."
            )
        kernel = codes.equal.cpu() + RIDGE * torch.eye(len(codes.equal), dtype=torch.float64)
        return float(torch.linalg.slogdet(kernel).logabsdet)


@final
class ActivationCodes(TorchDispatchMode):
    """Counts, for each two of some examples, the activations that are equal; of modules and
    functions alike."""

    def __init__(self, examples: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = 0  # of calls of activation functions
        self.equal = torch.zeros(examples, examples, dtype=torch.float64)

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func._schema.name in ACTIVATIONS and args[0].shape[:1] == self.equal.shape[:1]:  # type: ignore[attr-defined]
            self._add(args[0])
        return func(*args, **(kwargs or {}))

    def _add(self, inputs: Tensor) -> None:
        active = (inputs > 0).flatten(1).to(torch.float32)  # (N, units)
        idle = 1 - active
        self.equal = self.equal + (active @ active.T + idle @ idle.T).to("cpu", torch.float64)
        self.count += 1
