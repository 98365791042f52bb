"""Kernel: outputs keep their size, whatever is padded, dilated and strided."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from residual import Net, built, converted, mutated, source
from torch import nn

from runner.errors import ConfigError, GraphError, Refused
from runner.graph.ir.unit import Unit
from runner.mutators.kernel import Kernel, changes

sizes = st.integers(1, 7)


@settings(max_examples=150, deadline=None)
@given(old=sizes, new=sizes, padding=st.integers(0, 4), stride=st.integers(1, 3),
       dilation=st.integers(1, 3))  # fmt: skip
def test_outputs_keep_their_size_or_the_padding_is_said(old, new, padding, stride, dilation):
    unit = Unit.of("torch.nn:Conv1d", 1, 1, old, stride=stride, padding=padding, dilation=dilation)
    wanted = 2 * padding + dilation * (new - old)
    try:
        found = changes("conv", unit, old, new)
    except GraphError as error:
        assert wanted < 0 or wanted % 2
        assert f"a kernel of {new} in place of {old}" in str(error)
        return
    x = torch.randn(1, 1, 29)
    kwargs = {"stride": stride, "dilation": dilation}
    before = nn.Conv1d(1, 1, old, padding=padding, **kwargs)(x)
    after = nn.Conv1d(1, 1, new, padding=found["padding"], **kwargs)(x)
    assert after.shape == before.shape


def test_a_size_for_each_dimension(graph):
    wide, _ = mutated(graph, Kernel(on="**.conv", kernel=[[3, 3], [3, 7]], tie=True),
                      sample={"kernel/**.conv": [3, 7]})  # fmt: skip
    assert "nn.Conv2d(8, 8, (3, 7), padding=(1, 3))" in source(wide)
    built(wide)


def test_what_pads_by_itself_is_made_anew_and_starts_as_before(graph):
    stem, _ = mutated(graph, Kernel(on="stem", kernel=5))
    assert stem.unit("stem").grade == "graph"
    model = built(stem)
    assert model.stem.weight.shape == (8, 3, 5, 5)
    assert model.stem.weight.eq(0.1).all()
    assert [*model.state_dict()] == [*Net().state_dict()]


def test_a_pooling_keeps_its_stride_and_paddings_in_words_stay(graph):
    pool, _ = mutated(graph, Kernel(on="pool", kernel=4))
    assert "nn.MaxPool2d(4, stride=2, padding=1)" in source(pool)
    words = converted(lambda: nn.Sequential(nn.Conv2d(3, 4, 3, padding="same")))
    same, _ = mutated(words, Kernel(on="0", kernel=5))
    assert "nn.Conv2d(3, 4, 5, padding='same')" in source(same).replace('"', "'")
    up = converted(lambda: nn.Sequential(nn.ConvTranspose2d(3, 4, 2, stride=2)))
    larger, _ = mutated(up, Kernel(on="0", kernel=4))
    assert built(larger)(torch.randn(1, 3, 8, 8)).shape == (1, 4, 16, 16)


def test_what_does_not_fit_is_said_with_numbers(graph):
    with pytest.raises(Refused, match=r"a kernel of 4 in place of 3 would need a padding of 3/2"):
        mutated(graph, Kernel(on="layer1.0.conv", kernel=4))
    with pytest.raises(Refused, match=r"fc \(Linear\) has no kernel"):
        mutated(graph, Kernel(on="fc", kernel=3))
    with pytest.raises(ConfigError, match="kernel: 0 is not a size"):
        Kernel(on="stem", kernel=[3, 0])


def test_where_nothing_has_a_kernel_it_is_said(graph):
    with pytest.raises(
        Refused, match=r"layer1\.0\.relu \(ReLU\), layer1\.1\.relu .* have no kernel"
    ):
        mutated(graph, Kernel(on="layer1.*.relu", kernel=[3, 5]))
    for on in ("[!x]tem", "?tem", "stem", "[sf]*"):
        _, sample = mutated(graph, Kernel(on=on, kernel=[3, 5]))
        assert [*sample] == ["kernel/stem"]


def test_a_pattern_leaves_alone_what_has_no_kernel(graph):
    changed, sample = mutated(graph, Kernel(on="layer1.**", kernel=[3, 5]))
    assert [*sample] == ["kernel/layer1.0.conv", "kernel/layer1.1.conv"]
    assert source(changed) == source(graph)


class Shortcut(nn.Module):
    """Is handed a module, and a tensor that is no literal."""

    def __init__(self, kernel_size: int, beside: nn.Module, scale: torch.Tensor) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, kernel_size, padding=kernel_size // 2)
        self.beside = beside
        self.register_buffer("scale", scale)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x) * self.scale + self.beside(x)


def test_a_class_that_is_handed_modules_is_made_anew_with_them():
    scale = torch.rand(1, 3, 12, 12)
    net = converted(lambda: nn.Sequential(Shortcut(3, nn.Conv2d(3, 3, 1), scale)))
    changed, _ = mutated(net, Kernel(on="0", kernel=7))
    model = built(changed)
    assert model[0].conv.kernel_size == (7, 7)
    assert model[0].beside.kernel_size == (1, 1)
    assert model[0].scale.equal(scale)
