"""Resizes images in memory to the shape of a config."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from runner.errors import ConfigError


def check_image_shape(shape: Sequence[int], channels: int) -> None:
    """Raises ConfigError unless images of so many channels can get a shape (C, H, W)."""
    if len(shape) != 3:
        raise ConfigError(
            f"data.shape is {list(shape)}; images need [channels, height, width], "
            f"for example [{channels}, 32, 32]."
        )
    if channels not in (1, shape[0]):
        raise ConfigError(
            f"data.shape is {list(shape)}, with {shape[0]} channels; these images have {channels}."
        )


def fit(images: Tensor, shape: Sequence[int]) -> Tensor:
    """Resizes images (N, 1 or C, H, W) to a shape (C, H, W), repeating a single channel.

    Bytes stay bytes. Resizing is bilinear, with antialiasing when shrinking.
    """
    channels, height, width = shape
    if images.shape[2:] != (height, width):
        images = torch.cat([_resize(part, height, width) for part in torch.split(images, 4096)])
    return images.expand(-1, channels, -1, -1).contiguous()


def _resize(images: Tensor, height: int, width: int) -> Tensor:
    resized = functional.interpolate(
        images.to(torch.float32), (height, width), mode="bilinear", antialias=True
    )
    if images.dtype == torch.uint8:
        resized = resized.round_().clamp_(0, 255)
    return resized.to(images.dtype)
