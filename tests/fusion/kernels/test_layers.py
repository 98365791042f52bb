"""Any models of any layers, trained as one, get what each gets alone."""

from functools import partial

import pytest
import torch
from fusing import assert_equal, read
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

IMAGES = (4, 6, 6)
SAME = (  # all take and give (N, 4, 6, 6)
    partial(nn.Conv2d, 4, 4, 3, padding=1),
    partial(nn.Conv2d, 4, 4, 3, padding=1, groups=2, bias=False),
    partial(nn.Conv2d, 4, 4, 1, padding_mode="circular"),
    partial(nn.Conv2d, 4, 4, 3, padding=2, dilation=2),
    partial(nn.BatchNorm2d, 4),
    partial(nn.BatchNorm2d, 4, affine=False, momentum=0.3),
    partial(nn.BatchNorm2d, 4, momentum=None),
    partial(nn.GroupNorm, 2, 4),
    partial(nn.LayerNorm, 6),
    partial(nn.LayerNorm, [6, 6]),
    partial(nn.Linear, 6, 6),
    partial(nn.AvgPool2d, 3, 1, 1),
    partial(nn.AvgPool2d, 3, 1, 1, count_include_pad=False),
    partial(nn.MaxPool2d, 3, 1, 1),
    partial(nn.Dropout, 0.3),
    partial(nn.Dropout, 0.5),
    partial(nn.Dropout2d, 0.3),
    partial(nn.LocalResponseNorm, 2),
    partial(nn.PReLU, 4),
    nn.PReLU,
    nn.SiLU,
    nn.Tanh,
    partial(nn.ELU, inplace=True),
    partial(nn.LeakyReLU, 0.3),
    nn.RReLU,
    partial(nn.Softmax, 1),
    nn.Identity,
    partial(nn.PixelShuffle, 1),
)
LAST = (partial(nn.AdaptiveAvgPool2d, 1), partial(nn.AdaptiveMaxPool2d, 1))
models = st.tuples(st.lists(st.sampled_from(SAME), max_size=5), st.sampled_from(LAST))


def made(middle, last):
    return nn.Sequential(*(kind() for kind in middle), last(), nn.Flatten(), nn.Linear(4, 3))


@pytest.mark.exhaustive
@settings(
    max_examples=100, deadline=None, derandomize=True, database=None,
    suppress_health_check=[HealthCheck.too_slow],
)  # fmt: skip
@given(st.lists(models, min_size=2, max_size=4))
def test_random_models_are_trained_as_each_alone(kinds):
    found = []
    for i, kind in enumerate(kinds):
        torch.manual_seed(i)
        found.append(read(partial(made, *kind), IMAGES))
    assert_equal(*zip(*found, strict=True), IMAGES, sizes=(4, 6), tolerance=1e-7)
