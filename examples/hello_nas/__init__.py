"""NNI's tutorial "Hello, NAS!", for this runner, on digits of 8 x 8 pixels."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from runner import nn
from runner.nn import LayerChoice, ModelSpace, MutableDropout, MutableLinear


class DepthwiseSeparableConv(nn.Module):
    """A convolution of each channel, and one of 1 x 1."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(inputs, inputs, kernel_size=3, groups=inputs)
        self.pointwise = nn.Conv2d(inputs, outputs, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.pointwise(self.depthwise(x))


class DigitsSpace(ModelSpace):
    """Two convolutions and two linear layers; the names are those that NNI has."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3)
        self.conv2 = LayerChoice(
            [nn.Conv2d(32, 64, 3), DepthwiseSeparableConv(32, 64)], label="conv2"
        )
        self.dropout1 = MutableDropout(nn.choice("dropout", [0.25, 0.5, 0.75]))
        self.dropout2 = nn.Dropout(0.5)
        feature = nn.choice("feature", [64, 128, 256])
        self.fc1 = MutableLinear(256, feature)
        self.fc2 = MutableLinear(feature, classes)

    def forward(self, x: Tensor) -> Tensor:  # (N, 1, 8, 8)
        x = F.relu(self.conv1(x))
        x = F.max_pool2d(self.conv2(x), 2)  # (N, 64, 2, 2)
        x = torch.flatten(self.dropout1(x), 1)
        x = self.fc2(self.dropout2(F.relu(self.fc1(x))))
        return F.log_softmax(x, dim=1)


def evaluate_model(
    model: nn.Module, report: Callable[[float], None], data: Any, device: torch.device
) -> None:
    """Trains a model for three epochs and reports its accuracy after each: `report` stands for
    both `report_intermediate_result` and `report_final_result`."""
    model.to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    train_loader = data.train.loader(batch_size=64, shuffle=True)
    for _ in range(3):
        train_epoch(model, device, train_loader, optimizer)
        report(test_epoch(model, device, data.validation.loader(batch_size=64)))


def train_epoch(
    model: nn.Module, device: torch.device, loader: Any, optimizer: torch.optim.Optimizer
) -> None:
    """Trains a model on each batch once."""
    model.train()
    for inputs, targets in loader:
        optimizer.zero_grad()
        F.nll_loss(model(inputs.to(device)), targets.to(device)).backward()
        optimizer.step()


@torch.no_grad()
def test_epoch(model: nn.Module, device: torch.device, loader: Any) -> float:
    """Returns the accuracy of a model."""
    model.eval()
    correct = 0
    for inputs, targets in loader:
        predicted = model(inputs.to(device)).argmax(1)
        correct += int((predicted == targets.to(device)).sum())
    return correct / len(loader.dataset)
