"""Training code of one's own: a function with loaders, for a space without any YAML."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from runner import nn


@nn.model_wrapper
class Perceptron(nn.Module):
    """`inputs` and `classes` follow from the data."""

    def __init__(self, inputs: int, classes: int) -> None:
        super().__init__()
        width = nn.ValueChoice([32, 64, 128], label="width")
        act = nn.LayerChoice({"relu": nn.ReLU, "tanh": nn.Tanh}, label="act")
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(inputs, width), act)
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layers(x))


def train(
    model: nn.Module,
    report: Callable[[dict[str, float]], None],
    data: Any,
    device: torch.device,
    checkpoint: Any,
    epochs: int = 5,
    lr: float = 0.003,
) -> None:
    """Trains a model. A function is given what its parameters name; the others have defaults, or
    values in the config: `+evaluator.fn.lr=0.01`."""
    model.to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr)
    begin = 0
    if (state := checkpoint.load()) is not None:  # the trial had to start again
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        begin = state["epoch"]
    for epoch in range(begin, epochs):
        model.train()
        for inputs, targets in data.train.loader(batch_size=64, shuffle=True, seed=epoch):
            optimizer.zero_grad()
            cross_entropy(model(inputs.to(device)), targets.to(device)).backward()
            optimizer.step()
        scores = test(model, data.validation, device)
        report({f"val/{name}": value for name, value in scores.items()})
        checkpoint.save({
            "model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch + 1
        })  # fmt: skip


@torch.no_grad()
def test(model: nn.Module, data: Any, device: torch.device) -> dict[str, float]:
    """Returns the accuracy, and the share of examples whose class is among the best three."""
    model.to(device).eval()
    ranks = []
    for inputs, targets in data.loader(batch_size=256):
        order = model(inputs.to(device)).argsort(1, descending=True)  # (N, classes)
        ranks.append((order == targets.to(device)[:, None]).int().argmax(1))
    rank = torch.cat(ranks)
    return {"accuracy": (rank == 0).float().mean().item(), "top3": (rank < 3).float().mean().item()}
