"""A space of multi-layer perceptrons, for flat inputs and small images."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Literal

from torch import Tensor

from runner import nn

Maker = Callable[..., nn.Module]
Activation = Literal["relu", "silu", "gelu", "tanh"]
Norm = Literal["none", "batch", "layer"]

ACTIVATIONS: Mapping[Activation, Maker] = {
    "relu": nn.ReLU,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
    "tanh": nn.Tanh,
}
NORMS: Mapping[Norm, Maker] = {
    "none": nn.Identity,
    "batch": nn.BatchNorm1d,
    "layer": nn.LayerNorm,
}


@nn.model_wrapper
class MLP(nn.Module):
    """Repeated linear layers, normalization, activation and dropout; `classes` outputs.

    Plural arguments list candidates. Choices:

    - `activation`, `norm`, `dropout`: the same in all layers.
    - `depth`: number of hidden layers.
    - `layer0/width`: units of a hidden layer.
    """

    def __init__(
        self,
        shape: nn.InputShape = (1, 8, 8),
        classes: nn.Positive = 10,
        depths: Sequence[nn.AnyRepeats] = (1, 2, 3),
        widths: Sequence[nn.Positive] = (32, 64, 128),
        activations: Sequence[Activation] = ("relu", "silu", "gelu", "tanh"),
        norms: Sequence[Norm] = ("none", "batch", "layer"),
        dropouts: Sequence[nn.Fraction] = (0.0, 0.1, 0.3),
    ) -> None:
        super().__init__()
        hidden = partial(
            _hidden,
            activations={name: ACTIVATIONS[name] for name in activations},
            norms={name: NORMS[name] for name in norms},
            dropout=nn.ValueChoice(dropouts, label="dropout"),
        )
        # One whole stack per depth, because the output layer needs the width of the last layer.
        stacks = {
            str(depth): partial(_stack, math.prod(shape), classes, depth, widths, hidden)
            for depth in depths
        }
        self.layers = nn.LayerChoice(stacks, label="depth")

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x.flatten(1))  # (N, classes)


def _stack(
    features: int, outputs: int, depth: int, widths: Sequence[int], hidden: Maker
) -> nn.Sequential:
    layers = []
    for i in range(depth):
        width = nn.ValueChoice(widths, label=f"layer{i}/width")
        layers.append(hidden(features, width))
        features = width
    return nn.Sequential(*layers, nn.Linear(features, outputs))


def _hidden(
    features: int,
    width: int,
    *,
    activations: Mapping[str, Maker],
    norms: Mapping[str, Maker],
    dropout: float,
) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(features, width),
        nn.LayerChoice({name: partial(norm, width) for name, norm in norms.items()}, label="norm"),
        nn.LayerChoice(activations, label="activation"),
        nn.Dropout(dropout),
    )
