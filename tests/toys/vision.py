"""torchvision, also beside a torch that its compiled operators do not fit: Python stands in."""

import importlib
import re
import sys
from types import ModuleType

import pytest
import torch
from torch import Tensor

LIBRARIES = []  # of operators, kept alive
SCHEMAS = {
    "nms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "box_iou_rotated": "(Tensor boxes1, Tensor boxes2) -> Tensor",
    "roi_align": (
        "(Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height, "
        "SymInt pooled_width, int sampling_ratio, bool aligned) -> Tensor"
    ),
}


def torchvision() -> ModuleType:
    """The package, with what detection needs. Skips the test where it is not installed."""
    pytest.importorskip("PIL")
    if importlib.util.find_spec("torchvision") is None:
        pytest.skip("torchvision is not installed")
    for _ in range(20):
        try:
            package = importlib.import_module("torchvision")
            return _with_detection(package)
        except RuntimeError as error:
            missing = re.search(r"operator torchvision::(\w+) does not exist", str(error))
            if missing is None:
                raise
            _define(missing[1])
            for name in [n for n in sys.modules if n.split(".")[0] == "torchvision"]:
                del sys.modules[name]
    raise AssertionError("torchvision asks for ever more operators")


def _define(name: str) -> None:
    """Declare an operator; those of detection with a body."""
    library = torch.library.Library("torchvision", "FRAGMENT")
    LIBRARIES.append(library)
    library.define(name + SCHEMAS.get(name, "(Tensor x) -> Tensor"))
    if name == "nms":
        library.impl(name, _nms, "CPU")
    if name == "roi_align":
        library.impl(name, _roi_align, "CompositeImplicitAutograd")


def _with_detection(package: ModuleType) -> ModuleType:
    """Make its detection run on the operators above, where it lacks its own."""
    extension = importlib.import_module("torchvision.extension")
    if not extension._has_ops():
        operators = torch.ops.torchvision
        for name in SCHEMAS:
            if not hasattr(operators, name):
                _define(name)
        if "iou_threshold" not in str(operators.nms.default._schema):
            pytest.skip("another test has declared nms in this process")
        for module in (extension, importlib.import_module("torchvision.ops.roi_align")):
            module._has_ops = _has_ops
    return package


def _has_ops() -> bool:
    return True


def _nms(dets: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """The boxes (N, 4) to keep, best first: none overlaps a better one by more."""
    area = (dets[:, 2] - dets[:, 0]) * (dets[:, 3] - dets[:, 1])
    low = torch.maximum(dets[:, None, :2], dets[:, :2])
    high = torch.minimum(dets[:, None, 2:], dets[:, 2:])
    both = (high - low).clamp(min=0).prod(2)  # (N, N)
    overlaps = both / (area[:, None] + area - both) > iou_threshold
    kept: list[int] = []
    for i in scores.argsort(descending=True).tolist():
        if not overlaps[i, kept].any():
            kept.append(i)
    return torch.tensor(kept, dtype=torch.int64)


def _roi_align(
    input: Tensor, rois: Tensor, scale: float, height: int, width: int, ratio: int, aligned: bool
) -> Tensor:
    """torchvision's own, written in Python, without the torch.compile around it."""
    align = importlib.import_module("torchvision.ops.roi_align")
    return align._roi_align.__wrapped__(input, rois, scale, height, width, ratio, aligned)
