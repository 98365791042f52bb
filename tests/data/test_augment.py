"""Augmentation: what may change, and that each image has its own randomness."""

import pytest
import torch
from torch import Tensor

from runner.data.augment import Augment
from runner.errors import ConfigError


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def images() -> Tensor:
    return torch.arange(64 * 3 * 6 * 5, dtype=torch.float32).view(64, 3, 6, 5) + 1


def test_nothing_asked_nothing_done(images: Tensor) -> None:
    assert torch.equal(Augment(0, False, 0)(images, rng()), images)


@pytest.mark.parametrize("arguments", [(2, True, 3), (1, False, 0), (0, True, 0), (0, False, 2)])
def test_same_generator_same_images_and_input_untouched(
    images: Tensor, arguments: tuple[int, bool, int]
) -> None:
    before = images.clone()
    first, again, other = (Augment(*arguments)(images, rng(seed)) for seed in (1, 1, 2))
    assert first.shape == images.shape
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(images, before)


def test_crop_is_a_window_of_the_padded_image(images: Tensor) -> None:
    padded = torch.nn.functional.pad(images, (2, 2, 2, 2))
    seen = set()
    for image, result in zip(padded, Augment(2, False, 0)(images, rng()), strict=True):
        places = [
            (y, x)
            for y in range(5)
            for x in range(5)
            if torch.equal(image[:, y : y + 6, x : x + 5], result)
        ]
        assert len(places) == 1
        seen.update(places)
    assert len(seen) > 15  # of 25


def test_flip_mirrors_about_half(images: Tensor) -> None:
    results = Augment(0, True, 0)(images, rng())
    flipped = 0
    for image, result in zip(images, results, strict=True):
        assert torch.equal(result, image) or torch.equal(result, image.flip(-1))
        flipped += int(not torch.equal(result, image))
    assert 20 <= flipped <= 44


def test_cutout_blanks_one_square_in_all_channels(images: Tensor) -> None:
    results = Augment(0, False, 3)(images, rng())
    for image, result in zip(images, results, strict=True):
        hole = result[0] == 0
        assert torch.equal(result == 0, hole.expand(3, -1, -1))
        assert torch.equal(result[:, ~hole], image[:, ~hole])
        rows, columns = hole.any(1).sum().item(), hole.any(0).sum().item()
        assert hole.sum() == rows * columns
        assert 2 <= rows <= 3
        assert 2 <= columns <= 3


@pytest.mark.parametrize("arguments", [(-1, False, 0), (0, False, -2)])
def test_negative_sizes(arguments: tuple[int, bool, int]) -> None:
    with pytest.raises(ConfigError, match="it must be 0 or more"):
        Augment(*arguments)
