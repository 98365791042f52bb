"""Layers of a whole batch, in a group of one process: what torch itself computes."""

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.nn import functional

from runner.evaluators.data_parallel import replica_group
from runner.evaluators.global_batch import GlobalBatch

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def mode(tmp_path_factory):
    with replica_group(tmp_path_factory.mktemp("group") / "meeting", 0, 1, CPU):
        yield GlobalBatch(dist.group.WORLD, dist.group.WORLD)


LAYERS = {
    "images": (lambda: nn.BatchNorm2d(3), (4, 3, 5, 5)),
    "vectors": (lambda: nn.BatchNorm1d(3), (4, 3)),
    "sequences": (lambda: nn.BatchNorm1d(3), (2, 3, 7)),
    "volumes": (lambda: nn.BatchNorm3d(3), (2, 3, 2, 2, 2)),
    "without weights": (lambda: nn.BatchNorm2d(3, affine=False), (4, 3, 5, 5)),
    "without statistics": (lambda: nn.BatchNorm2d(3, track_running_stats=False), (4, 3, 5, 5)),
    "cumulative": (lambda: nn.BatchNorm2d(3, momentum=None), (4, 3, 5, 5)),
    "instances": (lambda: nn.InstanceNorm2d(3, True, True, True), (4, 3, 5, 5)),
}


def trained(layer, inputs):
    """What a layer returns, and the gradients of its inputs and parameters, in two steps."""
    found = []
    for step in range(2):
        given = (inputs + step).requires_grad_()
        outputs = layer(given)
        (outputs * torch.arange(outputs.numel()).view(outputs.shape).sin()).sum().backward()
        found += [outputs, given.grad, *(parameter.grad for parameter in layer.parameters())]
    return [*found, *layer.buffers()]


@pytest.mark.parametrize("case", LAYERS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_normalization_is_that_of_torch(mode, case, dtype):
    make, shape = LAYERS[case]
    inputs = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=dtype)
    expected = trained(make().to(dtype), inputs)
    with mode:
        found = trained(make().to(dtype), inputs)
    near = 1e-12 if dtype == torch.float64 else 1e-4
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == theirs.dtype
        assert torch.allclose(ours, theirs, rtol=near, atol=near)


def test_a_layer_in_eval_mode_is_left_alone(mode):
    layer, inputs = nn.BatchNorm2d(3).eval(), torch.randn(4, 3, 5, 5)
    with mode:
        assert torch.equal(layer(inputs), functional.batch_norm(
            inputs, layer.running_mean, layer.running_var, layer.weight, layer.bias))  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_has_statistics_in_full_precision(mode, dtype):
    layer, inputs = nn.BatchNorm2d(3), torch.randn(4, 3, 5, 5).to(dtype)
    with mode:
        outputs = layer(inputs)
    assert outputs.dtype == dtype and layer.running_mean.dtype == torch.float32
    whole = nn.BatchNorm2d(3)
    assert torch.allclose(outputs.float(), whole(inputs.float()), atol=0.02)
    assert torch.allclose(layer.running_var, whole.running_var)


def test_a_single_value_per_channel_is_refused_as_torch_does(mode):
    with mode, pytest.raises(ValueError, match="Expected more than 1 value per channel"):
        nn.BatchNorm1d(3)(torch.ones(1, 3))


REFUSED = {
    "native_batch_norm": lambda x: torch.native_batch_norm(x, None, None, None, None, True, 0, 1),
    "native_batch_norm of aten": lambda x: torch.ops.aten.native_batch_norm(
        x, None, None, None, None, True, 0, 1
    ),
    "torch.instance_norm with running": lambda x: torch.instance_norm(
        x, None, None, torch.zeros(3), torch.ones(3), True, 0.1, 1e-5, False
    ),
    "max_norm": lambda x: functional.embedding_bag(
        torch.zeros(2, 2, dtype=torch.long), torch.ones(3, 2), max_norm=1.0
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_would_see_a_part_of_the_batch_is_refused(mode, case):
    text = case.partition(" of ")[0]
    with mode, pytest.raises(RuntimeError, match=rf"{text}.* training\.devices_per_trial=1\."):
        REFUSED[case](torch.randn(4, 3, 5, 5))


def test_embeddings_without_max_norm_are_those_of_torch(mode):
    indices = torch.tensor([[0, 1], [2, 2]])
    for layer in (nn.Embedding(3, 2, padding_idx=0), nn.EmbeddingBag(3, 2, mode="sum")):
        with mode:
            found = layer(indices)
        assert torch.equal(found, layer(indices))
