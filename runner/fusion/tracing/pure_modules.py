"""Purity: modules without side effects, and attributes that meta tensors cannot answer for."""

from runner.errors import GraphError
from runner.graph.ir.signature import locate
from runner.graph.ir.unit import Unit

_SAME = "linear conv pooling padding flatten pixelshuffle channelshuffle upsampling fold distance"
_FILES = frozenset(f"torch.nn.modules.{name}" for name in _SAME.split())
_RANDOM = frozenset(["FractionalMaxPool2d", "FractionalMaxPool3d"])
_PURE = frozenset(["LayerNorm", "GroupNorm", "RMSNorm", "LocalResponseNorm", "Softmax"])
_DRAWING = frozenset(["RReLU", "MultiheadAttention"])

# Names whose values depend on gradients, devices or memory layouts, unknown in a meta run
UNTOLD = frozenset([
    *("requires_grad", "grad", "grad_fn", "is_leaf", "stride", "is_contiguous", "storage_offset"),
    *("data_ptr", "storage", "untyped_storage", "is_cuda", "is_cpu", "is_meta", "get_device"),
    *("names", "_version", "is_grad_enabled", "is_autocast_enabled", "is_inference_mode_enabled"),
    *("initial_seed", "seed", "get_rng_state", "is_inference", "_base", "_is_view", "is_mps"),
])  # fmt: skip


def is_pure_unit(unit: Unit | None) -> bool:
    """Returns whether a basic unit has no side effects, random draws included, in any mode."""
    return unit is not None and not unit.hooked and _is_pure_class(unit.cls.target)


def _is_pure_class(target: str) -> bool:
    try:
        cls = locate(target)
    except GraphError:
        return False
    name = cls.__name__
    if cls.__module__ == "torch.nn.modules.activation":
        return name not in _DRAWING
    return name in _PURE or (cls.__module__ in _FILES and name not in _RANDOM)
