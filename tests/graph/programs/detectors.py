"""Tiny R-CNNs of torchvision; to be imported once `vision.torchvision()` has been.

Under TorchScript they give losses and detections in both modes, so that these do always.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN, KeypointRCNN, MaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.keypoint_rcnn import KeypointRCNNHeads, KeypointRCNNPredictor
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.ops import MultiScaleRoIAlign

WIDTH, CLASSES, POINTS = 6, 3, 4


class Both:
    """Gives losses and detections."""

    @torch.jit.unused
    def eager_outputs(
        self, losses: dict[str, Tensor], detections: list[dict[str, Tensor]]
    ) -> tuple[dict[str, Tensor], list[dict[str, Tensor]]]:
        return losses, detections


class Faster(Both, FasterRCNN):
    """Boxes."""


class Mask(Both, MaskRCNN):
    """Boxes and masks."""


class Keypoint(Both, KeypointRCNN):
    """Boxes and key points."""


class Backbone(nn.Module):
    """One map of features."""

    out_channels = WIDTH

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, WIDTH, 3, 4, 1), nn.ReLU())

    def forward(self, x):
        return self.body(x)


def pyramid() -> nn.Module:
    """Two maps of features, and a pooled one."""
    body = nn.Sequential(nn.Conv2d(3, 4, 3, 4, 1), nn.ReLU(), nn.Conv2d(4, 8, 3, 2, 1))
    return BackboneWithFPN(body, {"1": "0", "2": "1"}, [4, 8], WIDTH)


def common(levels: int) -> dict[str, Any]:
    """Arguments of all three, for so many maps of features."""
    sizes = tuple((8 * 2**i,) for i in range(levels))
    tops = {
        f"rpn_{when}_nms_top_n_{mode}": 12 for when in ("pre", "post") for mode in ("train", "test")
    }
    return {
        **tops,
        "min_size": 32,
        "max_size": 48,
        "rpn_anchor_generator": AnchorGenerator(sizes, ((0.5, 1.0),) * levels),
        "box_roi_pool": pool(levels),
        "box_head": TwoMLPHead(WIDTH * 4, 10),
        "box_predictor": FastRCNNPredictor(10, CLASSES),
        "box_detections_per_img": 4,
        "box_batch_size_per_image": 8,
        "rpn_batch_size_per_image": 8,
    }


def pool(levels: int) -> nn.Module:
    """Features of boxes, 2 by 2."""
    return MultiScaleRoIAlign([str(i) for i in range(max(levels - 1, 1))], 2, 1)


def faster() -> nn.Module:
    return Faster(Backbone(), **common(1))


def mask() -> nn.Module:
    return Mask(
        Backbone(),
        mask_roi_pool=pool(1),
        mask_head=MaskRCNNHeads(WIDTH, (4,), 1),
        mask_predictor=MaskRCNNPredictor(4, 4, CLASSES),
        **common(1),
    )


def keypoint() -> nn.Module:
    return Keypoint(
        pyramid(),
        keypoint_roi_pool=pool(3),
        keypoint_head=KeypointRCNNHeads(WIDTH, (4,)),
        keypoint_predictor=KeypointRCNNPredictor(4, POINTS),
        **common(3),
    )


def example() -> tuple[list[Tensor], list[dict[str, Tensor]]]:
    """Two images of different size, and what is on them."""
    images = [torch.rand(3, 32, 40), torch.rand(3, 36, 28)]
    targets = []
    for image in images:
        boxes = torch.tensor([[2.0, 3.0, 20.0, 22.0], [8.0, 6.0, 26.0, 30.0]])
        masks = torch.zeros(2, *image.shape[1:], dtype=torch.uint8)
        masks[0, 3:22, 2:20] = 1
        masks[1, 6:30, 8:26] = 1
        points = torch.cat([torch.rand(2, POINTS, 2) * 10 + 9, torch.ones(2, POINTS, 1)], 2)
        labels = torch.tensor([1, 2])
        targets.append({"boxes": boxes, "labels": labels, "masks": masks, "keypoints": points})
    return images, targets
