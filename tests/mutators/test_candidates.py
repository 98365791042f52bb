"""New modules: their calls, their insides, and what making them leaves alone."""

from functools import partial

import pytest
import torch
from residual import built, converted, mutated, source
from torch import nn

from runner.errors import GraphError, Refused
from runner.graph.ir.argument import Call, Ref
from runner.graph.ir.graph import Graph
from runner.graph.ir.unit import Unit
from runner.graph.transforms.reconstruct import constructed
from runner.mutators.candidates import call_of, snake
from runner.mutators.insert import Insert


class Norm(nn.Module):
    def __init__(self, dim: int, act: type[nn.Module] = nn.ReLU, *, scales: tuple[int, ...] = ()):
        super().__init__()
        if dim > 100:
            raise ValueError("too wide")
        self.norm = nn.BatchNorm2d(dim)
        self.act = act()
        self.scales = scales

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(self.norm(x))


NAMES = {
    "SqueezeExcite": "squeeze_excite",
    "BatchNorm2d": "batch_norm2d",
    "ReLU": "relu",
    "LeakyReLU": "leaky_relu",
    "GELU": "gelu",
    "SiLU": "silu",
    "ECALayer": "eca_layer",
}


@pytest.mark.parametrize(("name", "snaked"), NAMES.items())
def test_names_of_attributes(name, snaked):
    assert snake(name) == snaked


def test_arguments_stand_in_the_order_of_the_signature():
    call = call_of(partial(nn.Conv2d, padding=1, kernel_size=3), carried={
        "out_channels": 4, "in_channels": 3, "bias": True, "other": 5,
    })  # fmt: skip
    assert (call.target, call.args, dict(call.kwargs)) == (
        "torch.nn:Conv2d", (3, 4, 3), {"padding": 1},
    )  # fmt: skip
    assert call_of("BatchNorm2d", fill=lambda: 7).args == (7,)


def test_what_is_nested_in_a_config_is_handed_on(graph):
    leaky = partial(nn.LeakyReLU, negative_slope=0.3)
    changed, _ = mutated(graph, Insert(on="pool", insert=partial(Norm, act=leaky, scales=(1, 2))))
    model = built(changed)
    assert model.pool_norm.act.negative_slope == 0.3
    assert "act=partial(nn.LeakyReLU, negative_slope=0.3)" in source(changed)
    given = call_of(partial(Norm, act=nn.Tanh), fill=lambda: 2).kwargs
    assert given == {"act": Ref("torch.nn:Tanh")}


def test_making_draws_no_random_number_and_is_done_once_for_equal_calls():
    state = torch.random.get_rng_state()
    call = Call(f"{Norm.__module__}:Norm", (5,), {})
    graph = Graph(Unit.of("torch.nn:Identity"))
    assert constructed(call, graph) is constructed(call, graph)
    assert torch.random.get_rng_state().equal(state)
    with pytest.raises(GraphError, match="Norm cannot be built: ValueError: too wide"):
        constructed(Call(call.target, (500,), {}), graph)


def test_a_constructor_that_raises_refuses_the_sample():
    wide = converted(lambda: nn.Sequential(nn.Conv2d(3, 101, 1)))
    with pytest.raises(Refused, match="Insert does not fit: Norm cannot be built"):
        mutated(wide, Insert(on="0", insert=partial(Norm)))
