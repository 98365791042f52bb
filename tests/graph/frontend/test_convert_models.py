"""Whole models of torchvision: what is converted and generated does what the model does."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import vision
from torch import nn

from runner.graph import check_conversion, convert, generate
from runner.nn.recording.construction_record import recording


def small_vgg(models: Any) -> nn.Module:
    """A VGG whose classifier is cut to its features."""
    layers = models.vgg.make_layers([4, "M", 8, "M", 8, 8, "M"], batch_norm=True)
    vgg = models.vgg.VGG(nn.Identity(), num_classes=5, init_weights=False)
    vgg.features, vgg.avgpool = layers, nn.AdaptiveAvgPool2d((2, 2))
    vgg.classifier = nn.Sequential(nn.Linear(32, 8), nn.ReLU(True), nn.Dropout(), nn.Linear(8, 5))
    return vgg


CLASSIFIERS: dict[str, tuple[Callable[[Any], nn.Module], int]] = {
    "resnet18": (lambda m: m.resnet18(num_classes=5), 32),
    "resnext": (lambda m: m.ResNet(m.resnet.Bottleneck, [1] * 4, 5, True, 4, 4), 32),
    "mobilenet_v2": (lambda m: m.MobileNetV2(5, width_mult=0.25), 32),
    "mnasnet": (lambda m: m.MNASNet(0.35, 5), 32),
    "shufflenet_v2": (lambda m: m.ShuffleNetV2([1, 2, 1], [4, 8, 16, 32, 64], 5), 32),
    "squeezenet": (lambda m: m.SqueezeNet("1_1", 5), 32),
    "densenet": (lambda m: m.DenseNet(4, (2, 2), 8, num_classes=5), 32),
    "swin": (lambda m: m.SwinTransformer([2, 2], 8, [2, 1], [2, 2], [4, 4], num_classes=5), 16),
    "vgg": (small_vgg, 32),
    "vit": (lambda m: m.VisionTransformer(16, 8, 2, 2, 8, 16, num_classes=5), 16),
}


def check(model: nn.Module, *inputs: Any) -> None:
    """A graph is made of the model, and gives what the model gives."""
    report = check_conversion(model, *inputs)
    report.raise_if_wrong()
    assert not report.notes, str(report)
    assert report.grades["shell"] == 0


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_generated_classifier_gives_what_the_classifier_gives(name: str) -> None:
    make, size = CLASSIFIERS[name]
    models = vision.torchvision().models
    torch.manual_seed(0)
    with recording():
        model = make(models)
    check(model, torch.randn(2, 3, size, size))


@pytest.mark.filterwarnings("ignore:RCNN always returns:UserWarning")
@pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated:DeprecationWarning")
@pytest.mark.parametrize("name", ["faster", "mask", "keypoint"])
def test_generated_detector_gives_what_the_detector_gives(name: str) -> None:
    vision.torchvision()
    from programs import detectors

    torch.manual_seed(0)
    with recording():
        model = getattr(detectors, name)()
    check(model, *detectors.example())


def test_resnet18_comes_out_as_one_would_write_it() -> None:
    with recording():
        model = vision.torchvision().models.resnet18()
    text = generate(convert(model), standalone=True)
    assert text.count("\n") <= 120
    classes = [line for line in text.splitlines() if line.startswith("class ")]
    assert classes == [
        f"class {name}(nn.Module):" for name in ("BasicBlock", "BasicBlock2", "ResNet")
    ]
    assert "nn.Sequential(BasicBlock(64), BasicBlock(64))" in text
