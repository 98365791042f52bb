"""Augmentation of whole batches of images, random for each image."""

from typing import final

import torch
from torch import Tensor
from torch.nn import functional

from runner.errors import require


@final
class Augment:
    """Random crops, flips and cutout of normalized images (N, C, H, W), in one gather.

    Takes 2.2 ms for 256 images (3, 32, 32) on one CPU thread.
    """

    def __init__(self, crop: int, flip: bool, cutout: int) -> None:
        """Crops at random positions after padding by `crop` pixels, mirrors half of the images if
        `flip`, and blanks a square `cutout` pixels wide (https://arxiv.org/abs/1708.04552)."""
        for key, value in (("crop", crop), ("cutout", cutout)):
            require(value >= 0, f"evaluator.augment.{key}", value, "0 or more")
        self._crop = crop
        self._flip = flip
        self._cutout = cutout

    def __call__(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Returns the augmented batch; `rng` is a CPU generator. The input is not modified."""
        if self._crop or self._flip:
            images = _cut_out_again(images, self._crop, self._flip, rng)
        if self._cutout:
            images = images * _holes(images, self._cutout, rng)
        return images


def _cut_out_again(images: Tensor, pad: int, flip: bool, rng: torch.Generator) -> Tensor:
    """Pads images with zeros and crops them to their size at random places, optionally mirrored."""
    n, c, height, width = images.shape
    rows = torch.randint(2 * pad + 1, (n, 1), generator=rng) + torch.arange(height)  # (N, H)
    columns = torch.randint(2 * pad + 1, (n, 1), generator=rng) + torch.arange(width)  # (N, W)
    if flip:
        mirrored = torch.rand(n, 1, generator=rng) < 0.5
        columns = torch.where(mirrored, columns.flip(1), columns)
    places = rows[:, :, None] * (width + 2 * pad) + columns[:, None, :]  # (N, H, W)
    places = places.to(images.device).view(n, 1, -1).expand(n, c, -1)
    padded = functional.pad(images, (pad, pad, pad, pad))
    return padded.flatten(2).gather(2, places).view(n, c, height, width)


def _holes(images: Tensor, size: int, rng: torch.Generator) -> Tensor:
    """Returns a mask (N, 1, H, W), zero in one square per image, centred anywhere."""
    n, _, height, width = images.shape
    rows = _near(n, height, size, rng)  # (N, H)
    columns = _near(n, width, size, rng)  # (N, W)
    hole = rows[:, None, :, None] & columns[:, None, None, :]
    return (~hole).to(images.device, images.dtype)


def _near(n: int, length: int, size: int, rng: torch.Generator) -> Tensor:
    """Returns per image which of `length` positions lie within `size` around a random centre."""
    start = torch.randint(length, (n, 1), generator=rng) - size // 2
    places = torch.arange(length)
    return (start <= places) & (places < start + size)
