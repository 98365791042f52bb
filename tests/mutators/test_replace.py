"""Replace: what is carried over, what is missing, and calls in code."""

import functools
from fractions import Fraction

import pytest
import torch
from residual import Net, Opaque, Shared, built, converted, keys, mutated, same, source
from torch import nn
from torch.nn import functional as F

import spaces.blocks
from runner.errors import ConfigError, Refused
from runner.mutators.replace import Replace


class Given(nn.Module):
    """Takes what a layer before it took, and something else."""

    def __init__(self, in_features: int, bonus: int, out_features: int = 3) -> None:
        super().__init__()
        self.fc = nn.Linear(in_features, out_features)
        self.bonus = bonus

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(x) + self.bonus


def test_arguments_of_the_same_name_are_carried_over(graph):
    silu, _ = mutated(graph, Replace(cls="ReLU", replace="SiLU"))
    assert "nn.SiLU(inplace=True)" in source(silu)
    gelu, _ = mutated(graph, Replace(cls="ReLU", replace="GELU"))
    assert "nn.GELU()" in source(gelu)
    lazy, _ = mutated(graph, Replace(on="fc", replace=functools.partial(nn.Linear, bias=False)))
    assert "self.fc = nn.Linear(8, 5, bias=False)" in source(lazy)


def test_a_number_of_channels_is_carried_over_under_any_of_its_names():
    norms = converted(lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)))
    group, _ = mutated(
        norms, Replace(on="1", replace=functools.partial(nn.GroupNorm, num_groups=2))
    )
    assert "nn.GroupNorm(2, 8)" in source(group)


def test_a_missing_argument_is_named(graph):
    with pytest.raises(
        Refused, match=r"fc \(Linear\) cannot be replaced: Given needs bonus, which"
    ):
        mutated(graph, Replace(on="fc", replace=functools.partial(Given)))
    with pytest.raises(Refused, match="Conv2d needs in_channels, out_channels and kernel_size"):
        mutated(graph, Replace(on="drop", replace="Conv2d"))


def test_a_class_of_ones_own_comes_with_its_code(graph):
    own, _ = mutated(graph, Replace(on="fc", replace=functools.partial(Given, bonus=2)))
    assert own.unit("fc").grade == "graph"
    model = built(own)
    assert keys(model)[-2:] == ["fc.fc.weight", "fc.fc.bias"]
    assert model.fc.fc.out_features == 5
    inner, _ = mutated(own, Replace(on="fc.fc", replace=functools.partial(nn.Linear, bias=False)))
    assert keys(built(inner))[-1] == "fc.fc.weight"


def test_the_same_class_leaves_a_module_wholly_as_it_is(graph):
    partial = functools.partial(nn.ReLU, inplace=True)
    for candidate in ("ReLU", partial):
        kept, _ = mutated(graph, Replace(cls="ReLU", replace=candidate))
        assert not any(unit.mutated for _, unit in kept.units())
        assert same(Net(), built(kept))
    other, _ = mutated(
        graph, Replace(cls="ReLU", replace=functools.partial(nn.ReLU, inplace=False))
    )
    assert "nn.ReLU()" in source(other)
    assert same(Net(), built(other))


def test_calls_are_replaced_with_those_that_work_in_place(graph):
    silu, sample = mutated(graph, Replace(op="relu", replace=["SiLU"], on=""))
    assert [*sample] == [
        *("replace/relu", "replace/layer1.0/relu", "replace/layer1.1/relu"),
        *("replace/blocks.0/relu", "replace/blocks.1/relu", "replace/blocks.2/relu"),
    ]
    text = source(silu)
    assert "relu" not in text.replace("self.relu", "")
    assert "F.silu(self.relu(self.conv(x)) + x)" in text
    built(silu)


def test_arguments_for_a_function_are_those_of_its_class(graph):
    leaky = functools.partial(nn.LeakyReLU, negative_slope=0.2)
    changed, _ = mutated(graph, Replace(op="relu", replace=leaky))
    assert "F.leaky_relu(" in source(changed)
    assert "negative_slope=0.2" in source(changed)
    function = functools.partial(F.leaky_relu, negative_slope=0.2)
    assert source(mutated(graph, Replace(op="relu", replace=function))[0]) == source(changed)
    kept, _ = mutated(graph, Replace(op="relu", replace="ReLU"))
    assert source(kept) == source(graph)


def test_a_change_in_place_in_a_branch_cannot_be_kept():
    with pytest.raises(Refused, match="changes a tensor in place, in a branch"):
        mutated(converted(Shared), Replace(op="relu", replace="gelu"))


def test_children_of_what_cannot_be_read_are_replaced():
    changed, _ = mutated(converted(Opaque), Replace(on="blocks.*.relu", replace="Tanh"))
    assert isinstance(built(changed).blocks[0].relu, nn.Tanh)


def test_what_names_nothing_is_refused_at_once():
    with pytest.raises(ConfigError, match=r"no module 'SiLu'. Did you mean 'SiLU'"):
        Replace(on="a", replace=["ReLU", "SiLu"])
    with pytest.raises(ConfigError, match=r"no function 'sillu'. Did you mean 'silu'"):
        Replace(op="relu", replace="sillu")
    with pytest.raises(ConfigError, match="is not a module: give the name"):
        Replace(on="a", replace=spaces.blocks.SqueezeExcite)
    with pytest.raises(ConfigError, match=r"Fraction is not a torch.nn.Module"):
        Replace(on="a", replace=functools.partial(Fraction, 1))
