"""Spaces as people have written them for NNI; only the imports are ours."""

from collections import OrderedDict

import torch
import torch.nn.functional as F

from runner import nn
from runner.nn import AutoActivation, LayerChoice, ModelSpace, MutableConv2d, MutableLinear


class Block(nn.Module):
    def __init__(self, channels: nn.MaybeChoice[int], kernel: nn.ChoiceOf[int], name: str) -> None:
        super().__init__()
        self.conv = LayerChoice(
            OrderedDict(
                plain=MutableConv2d(channels, channels, kernel, padding=kernel // 2),
                cheap=MutableConv2d(channels, channels, 1),
            ),
            f"{name}/op",
            prior=[0.75, 0.25],
        )
        self.skip = nn.InputChoice(
            choose_from=["in", "out"], label=f"{name}/skip", prior=[0.5, 0.5]
        )

    def forward(self, x):
        return self.skip([x, F.relu(self.conv(x))])


class Net3(ModelSpace, label_prefix="net"):
    """As for NNI 3."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        width = nn.choice("width", [4, 8])
        self.stem = MutableConv2d(1, width, 3, padding=1)
        self.blocks = nn.Repeat(
            lambda i: Block(width, nn.choice(f"kernel{i}", [3, 5]), f"block{i}"), (1, 2), "depth"
        )
        self.drop = nn.MutableDropout(nn.uniform("dropout", 0.1, 0.5))
        self.place = nn.MutationAnchor(label="before_head")
        self.head = MutableLinear(width, classes)

    def forward(self, x):
        x = self.place(self.drop(self.blocks(self.stem(x)).mean((2, 3))))
        return self.head(x)


@nn.model_wrapper
class Net2(nn.Module):
    """As for NNI 2, of which labels are optional."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        kernel = nn.ValueChoice([1, 3, 5], label="kernel")
        self.conv = nn.Conv2d(1, 4, kernel, padding=(max(kernel.candidates) - 1) // 2)
        self.act = AutoActivation(
            1, ["UnaryTanh", "UnaryMul"], ["BinaryAdd", "BinaryParamAdd"], label="act"
        )
        self.anchor = nn.Placeholder("anchor", extra=1)
        self.head = nn.Linear(4, classes)

    def forward(self, x):
        return self.head(self.anchor(self.act(self.conv(x))).mean((2, 3)))


@nn.model_wrapper
class Net2Plain(nn.Module):
    """Python depends on the value of a choice."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.deep = nn.ModelParameterChoice([False, True], default=True, label="deep")
        self.inner = nn.Linear(64, 64) if self.deep is True else None
        self.token = nn.Parameter(torch.zeros(1, nn.ModelParameterChoice([1, 2], label="tokens")))
        self.head = nn.Linear(64, classes)

    def forward(self, x):
        x = x.flatten(1)
        if self.inner is not None:
            x = self.inner(x)
        return self.head(x) + self.token.sum()
