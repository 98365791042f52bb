"""Initializes layers as identities."""

from torch import nn

EXACT = "identity at first"
EVALUATED = "identity at first, when evaluated"
NEITHER = "not identity-like"
CONVS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
NOT_TRAINING = (
    nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout,
    nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d,
)  # fmt: skip


def start_as_identity(module: nn.Module) -> str:
    """Initializes a module as an identity if possible; returns how close it is to one."""
    if isinstance(module, nn.Identity):
        return EXACT
    if isinstance(module, NOT_TRAINING):
        return EVALUATED
    if isinstance(module, nn.Sequential):
        said = [start_as_identity(child) for child in module]
        return max(said, key=(EXACT, EVALUATED, NEITHER).index, default=EXACT)
    if isinstance(module, CONVS) and _keeps(module):
        nn.init.dirac_(module.weight, module.groups)
    elif isinstance(module, nn.Linear) and module.in_features == module.out_features:
        nn.init.eye_(module.weight)
    else:
        return NEITHER
    if module.bias is not None:
        nn.init.zeros_(module.bias)
    return EXACT


def _keeps(conv: nn.Conv1d | nn.Conv2d | nn.Conv3d) -> bool:
    """Returns whether a convolution preserves the number of channels and the size of its input."""
    sizes = zip(conv.kernel_size, conv.dilation, strict=True)
    same = tuple(dilation * (size // 2) for size, dilation in sizes)
    return (
        conv.in_channels == conv.out_channels
        and all(stride == 1 for stride in conv.stride)
        and all(size % 2 for size in conv.kernel_size)
        and conv.padding in ("same", same)
    )
