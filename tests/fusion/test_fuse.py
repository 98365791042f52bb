"""Models fused into one compute, and are trained, as each alone; what is equal is one launch."""

import copy
import gc
import weakref
from functools import partial

import fusing_toys as toys
import pytest
import torch
from fusing import Together, adamw, assert_equal, check, read
from torch import nn

from runner.fusion.fuse import NotFused, fuse
from runner.fusion.packing.packed_parameters import Parameters
from runner.fusion.packing.random_streams import Streams

IMAGES, LINE, VOLUME = (2, 6, 6), (2, 9), (2, 5, 5, 5)
SEQUENCE = (4, 8)


def chain(*layers):
    """A model of these layers, made anew each time."""
    return lambda: nn.Sequential(*(layer() for layer in layers), nn.Flatten())


def layer(kind, *args, **kwargs):
    return partial(kind, *args, **kwargs)


CONV1, CONV2, CONV3, NORM = nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.BatchNorm2d
TWO, MORE = layer(CONV2, 2, 4, 3), layer(CONV2, 4, 2, 2)
ONE_LAUNCH_EACH = {
    "conv1d": (chain(layer(CONV1, 2, 4, 3), layer(CONV1, 4, 2, 3, padding="same")), LINE),
    "conv2d": (chain(TWO, layer(CONV2, 4, 3, 1, bias=False)), IMAGES),
    "conv3d": (chain(layer(CONV3, 2, 4, 3), layer(CONV3, 4, 2, 2)), VOLUME),
    "groups": (chain(layer(CONV2, 2, 4, 3, groups=2), layer(CONV2, 4, 8, 1, groups=4)), IMAGES),
    "stride": (chain(layer(CONV2, 2, 4, 3, stride=2, padding=1), MORE), IMAGES),
    "dilation": (chain(layer(CONV2, 2, 4, 3, dilation=2), MORE), IMAGES),
    "same": (chain(layer(CONV2, 2, 4, 3, padding="same"), MORE), IMAGES),
    "linear": (chain(layer(nn.Linear, 4, 5), nn.ReLU, layer(nn.Linear, 5, 3, bias=False)), (4,)),
    "linear 3d": (chain(layer(nn.Linear, 8, 5), nn.GELU, layer(nn.Linear, 5, 3)), SEQUENCE),
    "linear 4d": (chain(layer(nn.Linear, 6, 5), nn.GELU, layer(nn.Linear, 5, 3)), IMAGES),
    "norm of lines": (chain(layer(CONV1, 2, 4, 3), layer(nn.BatchNorm1d, 4)), LINE),
    "norm of rows": (chain(layer(nn.Linear, 4, 6), layer(nn.BatchNorm1d, 6)), (4,)),
    "norm": (chain(TWO, layer(NORM, 4), nn.ReLU, MORE), IMAGES),
    "norm in front": (chain(layer(NORM, 2), TWO), IMAGES),
    "norm of volumes": (chain(layer(CONV3, 2, 4, 3), layer(nn.BatchNorm3d, 4)), VOLUME),
    "plain norm": (chain(TWO, layer(NORM, 4, affine=False), MORE), IMAGES),
    "norm of the batch": (chain(TWO, layer(NORM, 4, track_running_stats=False)), IMAGES),
    "layer norm": (chain(layer(nn.Linear, 8, 4), layer(nn.LayerNorm, 4)), SEQUENCE),
    "layer norm of images": (chain(TWO, layer(nn.LayerNorm, [4, 4, 4])), IMAGES),
    "layer norm without bias": (chain(TWO, layer(nn.LayerNorm, 4, bias=False)), IMAGES),
    "plain layer norm": (
        chain(layer(nn.Linear, 8, 4), layer(nn.LayerNorm, 4, elementwise_affine=False)),
        SEQUENCE,
    ),
    "group norm": (chain(TWO, layer(nn.GroupNorm, 2, 4), nn.SiLU, MORE), IMAGES),
    "pools": (chain(TWO, layer(nn.MaxPool2d, 2), layer(nn.AdaptiveAvgPool2d, 1)), IMAGES),
    "dropout": (chain(TWO, layer(nn.Dropout, 0.3), MORE), IMAGES),
    "dropout of rows": (chain(layer(nn.Linear, 8, 4), layer(nn.Dropout, 0.3)), (8,)),
    "dropout of sequences": (
        chain(layer(nn.Linear, 8, 4), layer(nn.Dropout, 0.3), layer(nn.Linear, 4, 2)),
        SEQUENCE,
    ),
    "dropout of channels": (chain(TWO, layer(nn.Dropout2d, 0.3), MORE), IMAGES),
    "alpha dropout": (chain(TWO, layer(nn.AlphaDropout, 0.3), MORE), IMAGES),
    "no dropout": (chain(TWO, layer(nn.Dropout, 0.0), MORE), IMAGES),
    "attention": (chain(toys.Attends, layer(nn.Linear, 8, 3)), SEQUENCE),
    "attention by hand": (toys.ByHand, SEQUENCE),
    "scales": (toys.Scales, IMAGES),
    "tied": (toys.Tied, (4,)),
    "in place": (toys.InPlace, (4,)),
    "shared": (toys.Shared, (4,)),
    "pools that do not tell": (toys.Pools, IMAGES),
}


@pytest.mark.parametrize("name", ONE_LAUNCH_EACH)
def test_equal_models_are_one_launch_for_each_operation(name):
    make, shape = ONE_LAUNCH_EACH[name]
    fused = check([make] * 3, shape)
    assert 3 * fused.launches == fused.operations
    assert not fused.copies


def masked():
    return nn.Sequential(toys.Attends(masked=True), nn.Linear(8, 3))


SOME_ALONE = {
    "reflected": (chain(layer(CONV2, 2, 4, 3, padding=1, padding_mode="reflect"), MORE), IMAGES),
    "norm of all batches": (chain(TWO, layer(NORM, 4, momentum=None), MORE), IMAGES),
    "transposed": (chain(layer(nn.ConvTranspose2d, 2, 4, 3), MORE), IMAGES),
    "prelu": (chain(TWO, nn.PReLU, MORE), IMAGES),
    "instance norm": (chain(TWO, layer(nn.InstanceNorm2d, 4, affine=True), MORE), IMAGES),
    "masked": (masked, SEQUENCE),
    "dropout inside": (chain(layer(toys.Attends, dropout=0.3), layer(nn.Linear, 8, 3)), SEQUENCE),
    "feature dropout": (chain(TWO, layer(nn.FeatureAlphaDropout, 0.3), MORE), IMAGES),
    "random slopes": (chain(TWO, nn.RReLU, MORE), IMAGES),
    "embeds": (toys.Embeds, SEQUENCE),
    "branches": (toys.Branches, (4,)),
    "opaque": (toys.Opaque, (4,)),
    "stochastic depth": (toys.Deep, (4,)),
    "noise": (toys.Noisy, (4,)),
    "idle parameters": (toys.Idle, (4,)),
    "a weight used twice": (toys.UsesWeight, IMAGES),
    "softmax of channels": (chain(TWO, nn.Softmax2d, MORE), IMAGES),
    "weights looked at": (chain(toys.Weighs, layer(nn.Linear, 8, 3)), SEQUENCE),
    "recurrent": (toys.Recurrent, SEQUENCE),
}


@pytest.mark.parametrize("name", SOME_ALONE)
def test_what_cannot_be_fused_runs_by_itself(name):
    make, shape = SOME_ALONE[name]
    fused = check([make] * 3, shape)
    assert fused.launches <= fused.operations


def test_models_that_differ_are_one_where_they_are_equal():
    makes = [
        chain(layer(nn.Linear, 4, 4), nn.ReLU, *[layer(nn.Linear, 4, 4)] * depth, MORE_OF_ALL)
        for depth in (1, 2, 3)
    ]
    fused = check(makes, (4,))
    assert fused.launches < fused.operations


MORE_OF_ALL = layer(nn.Linear, 4, 3)


def test_widths_that_differ_are_not_mixed_up():
    makes = [chain(layer(nn.Linear, 4, w), nn.Tanh, layer(nn.Linear, w, 3)) for w in (4, 5, 4)]
    fused = check(makes, (4,))
    assert fused.launches < fused.operations


def test_layers_of_equal_description_may_have_other_arguments():
    makes = [partial(toys.Pools, *which) for which in [(True, False), (False, False), (True, True)]]
    check(makes, IMAGES)


def test_models_draw_in_their_own_order():
    fused = check([partial(toys.Noisy, depth) for depth in (1, 3, 2)], (4,))
    assert fused.launches < fused.operations


def test_a_normalization_sees_what_it_sees_in_its_own_order():
    check([toys.Twins] * 3, (4,))


def test_a_frozen_prefix_of_equal_values_runs_once():
    fused = check([partial(toys.Frozen, 7)] * 4, IMAGES)
    assert fused.launches == 8
    assert fused.operations == 4 * 8
    assert "spread" not in fused.source


def test_a_frozen_prefix_of_other_values_is_not_shared():
    check([partial(toys.Frozen, seed) for seed in (7, 8, 7)], IMAGES)


def test_a_frozen_prefix_that_changes_is_not_shared():
    check([partial(toys.Frozen, 7, evaluated=False)] * 3, IMAGES)


def test_parts_may_be_frozen_in_some_of_the_models():
    found = []
    for i in range(3):
        torch.manual_seed(i)
        model, programs = read(toys.Attends, SEQUENCE)
        model.inner.out_proj.weight.requires_grad_(i != 1)
        model.norm.requires_grad_(i != 2)
        found.append((model, programs))
    assert_equal(*zip(*found, strict=True), SEQUENCE)


def test_what_is_not_used_is_not_decayed():
    torch.manual_seed(0)
    model, programs = read(toys.Idle, (4,))
    twins = [copy.deepcopy(model) for _ in range(2)]
    assert_equal(twins, [programs] * 2, (4,))
    for twin in twins:
        assert torch.equal(twin.unused.weight, model.unused.weight.double())
        assert torch.equal(twin.scale, model.scale.double())


@pytest.mark.parametrize(("size", "launches"), [(8, 4), (12, 6)])
def test_convolutions_of_single_channels_are_one_for_small_images(size, launches):
    single = layer(CONV2, 4, 4, 3, padding=1, groups=4)
    fused = check([chain(layer(CONV2, 2, 4, 1), single, nn.ReLU)] * 3, (2, size, size))
    assert fused.launches == launches


def test_one_tensor_twice_is_another_form_than_two():
    check([partial(toys.Sum, twice) for twice in (True, False, True, False)], IMAGES)
    check([partial(toys.Sum, twice) for twice in (False, True, False)], IMAGES)


def test_what_only_a_normalization_sees_is_not_decayed():
    branches = [toys.Watched, partial(toys.Watched, detached=True)]
    check([partial(make, used) for used in (False, True) for make in branches], IMAGES)


def test_hooks_are_called():
    calls = []
    torch.manual_seed(0)
    model, programs = read(chain(layer(nn.Linear, 4, 4), nn.ReLU, layer(nn.Linear, 4, 3)), (4,))
    twins = [copy.deepcopy(model) for _ in range(2)]
    for twin in twins:
        for part in twin[:2]:
            part.register_forward_hook(lambda *_: calls.append(1))
            part.register_forward_pre_hook(lambda _, given: (2 * given[0],))
    fused = assert_equal(twins, [programs] * 2, (4,))
    assert fused.launches == 6
    assert len(calls) == 4 * 5 * 2


def test_batches_may_be_of_any_size():
    make = chain(TWO, layer(NORM, 4), layer(nn.Dropout, 0.2), nn.Flatten)
    check([make] * 2, IMAGES, sizes=(2, 64, 3, 17))
    check([toys.ByHand] * 2, SEQUENCE, sizes=(1, 64, 3, 17))


@pytest.mark.parametrize("makes", [[toys.GivesTwo] * 2,
                                   [chain(layer(nn.Linear, 4, w)) for w in (2, 3)]])  # fmt: skip
def test_models_without_one_output_of_one_shape_are_refused(makes):
    models, programs = zip(*(read(make, (4,)) for make in makes), strict=True)
    streams = Streams([0, 1], torch.device("cpu"))
    with pytest.raises(NotFused, match=r"a model does not return|the outputs of the models"):
        fuse(models, [pair.train for pair in programs], Parameters(), streams)


def test_unpacked_models_have_memory_of_their_own():
    models, programs = zip(*(read(toys.Shared, (4,)) for _ in range(3)), strict=True)
    together = Together(models, programs, [adamw(model, i) for i, model in enumerate(models)])
    together.finish([], torch.randn(5, 4))
    memory = [t.untyped_storage() for model in models for t in model.state_dict().values()]
    assert len({storage.data_ptr() for storage in memory}) == len(memory)
    assert all(parameter.grad is None for model in models for parameter in model.parameters())


def test_no_layer_outlives_its_fusion():
    make = chain(layer(nn.Linear, 4, 4), nn.ReLU, layer(nn.Linear, 4, 3))
    models, programs = zip(*(read(make, (4,)) for _ in range(2)), strict=True)
    streams = Streams(range(2), torch.device("cpu"))
    fused = fuse(models, [pair.train for pair in programs], Parameters(), streams)
    assert fused.forward(torch.ones(2, 4)).shape == (4, 3)
    layers = [weakref.ref(one) for model in models for one in model.modules()]
    fused.clear()
    del models, programs, fused
    gc.collect()
    assert not [one() for one in layers if one() is not None]
