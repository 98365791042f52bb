"""First values that a model's code copied into a tensor of another size than it has now."""

import pytest
import torch
from torch import nn

from runner.graph import convert, generate, recording
from runner.graph.codegen.load import load_source
from runner.graph.transforms.mutator import Mutator, mutate
from runner.space.sample import Walk

VALUES = {"weight": torch.arange(36.0).view(2, 2, 3, 3) ** 2, "bias": torch.tensor([5.5, 7.25])}


class Loaded(nn.Module):
    """A convolution with values from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 3, padding=1)
        self.conv.load_state_dict(VALUES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x)


class Arguments(Mutator):
    def __init__(self, **arguments: object) -> None:
        self.arguments = arguments

    def mutate(self, graph) -> None:
        for name, value in self.arguments.items():
            graph.unit("conv").set_argument(name, value)


@pytest.mark.parametrize(
    ("arguments", "weight"),
    [
        ({"kernel_size": 5}, nn.functional.pad(VALUES["weight"], (1, 1, 1, 1))),
        ({"kernel_size": 1}, VALUES["weight"][:, :, 1:2, 1:2]),
        ({"kernel_size": (1, 5)}, nn.functional.pad(VALUES["weight"][:, :, 1:2], (1, 1))),
        ({"out_channels": 1}, VALUES["weight"][:1]),
        ({"out_channels": 3}, VALUES["weight"].repeat(2, 1, 1, 1)[:3]),
        ({"in_channels": 4}, VALUES["weight"].repeat(1, 2, 1, 1)),
        ({"in_channels": 1, "kernel_size": 1}, VALUES["weight"][:, :1, 1:2, 1:2]),
    ],
)
def test_values_are_cut_or_repeated_to_the_size_and_kernels_about_their_centre(arguments, weight):
    with recording():
        graph = convert(Loaded())
    mutate(graph, [Arguments(**arguments)], Walk(lambda choice: choice.default))
    model = load_source(generate(graph), graph.tensors).build()
    assert torch.equal(model.conv.weight, weight)
    count = len(weight)
    assert torch.equal(model.conv.bias, VALUES["bias"].repeat(2)[:count])


def test_a_call_that_cannot_be_made_any_more_is_left_out():
    class Rows(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(2, 4, 1)
            nn.init.zeros_(self.conv.weight[3])
            nn.init.ones_(self.conv.weight[0])

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.conv(x)

    with recording():
        graph = convert(Rows())
    mutate(graph, [Arguments(out_channels=2)], Walk(lambda choice: choice.default))
    model = load_source(generate(graph, standalone=True), graph.tensors).build()
    assert model.conv.weight[0].eq(1).all() and model.conv.weight[1].ne(0).all()
