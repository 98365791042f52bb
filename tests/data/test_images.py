"""Bringing images to a shape."""

import pytest
import torch

from runner.data.images import check_image_shape, fit
from runner.errors import ConfigError


def test_images_of_the_right_shape_stay_as_they_are() -> None:
    images = torch.randint(0, 256, (5, 3, 4, 4), dtype=torch.uint8)
    assert torch.equal(fit(images, (3, 4, 4)), images)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize("size", [2, 4, 9])
def test_resizing_keeps_type_and_flat_images(dtype: torch.dtype, size: int) -> None:
    images = torch.full((2, 1, 4, 4), 200).to(dtype)
    resized = fit(images, (3, size, size))
    assert resized.shape == (2, 3, size, size)
    assert resized.dtype == dtype
    assert (resized == 200).all()


@pytest.mark.parametrize(
    ("shape", "channels", "text"),
    [
        ([8, 8], 1, r"data.shape is \[8, 8\]; images need \[channels, height, width\]"),
        ([1, 8, 8], 3, "with 1 channels; these images have 3"),
        ([4, 8, 8], 3, "with 4 channels; these images have 3"),
    ],
)
def test_shapes_that_cannot_be(shape: list[int], channels: int, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        check_image_shape(shape, channels)
