"""An image and its mask stay aligned to the pixel, wherever they come to lie."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as F

from resnets.core.errors import DataError
from resnets.modalities.image.placement import Placement
from tests.conftest import noise
from tests.modalities.image.mask_folders import mask_of

FILL = (9, 8, 7)


def test_nothing_changes_at_the_same_size() -> None:
    image, mask = Image.fromarray(noise(20, 12)), mask_of(20, 12, 3)
    placement = Placement((12, 20), (0, 0), (12, 20))
    assert np.array_equal(np.asarray(placement.image(image, FILL, "bilinear")), np.asarray(image))
    assert np.array_equal(placement.mask(mask, 255), mask)


@pytest.mark.parametrize("resized", [(12, 20), (24, 40), (9, 13), (6, 50)])
def test_it_is_torchvisions_resize_pad_and_crop(resized: tuple[int, int]) -> None:
    canvas, corner = (10, 16), (min(2, max(0, resized[0] - 10)), min(3, max(0, resized[1] - 16)))
    image, mask = Image.fromarray(noise(20, 12)), mask_of(20, 12, 3)
    below, right = max(0, canvas[0] - resized[0]), max(0, canvas[1] - resized[1])
    placement = Placement(resized, corner, canvas)
    expected = F.pad(F.resize(image, list(resized)), [0, 0, right, below], fill=list(FILL))
    assert np.array_equal(
        np.asarray(placement.image(image, FILL, "bilinear")), np.asarray(F.crop(expected, *corner, *canvas))
    )
    enlarged = F.resize(torch.from_numpy(mask)[None], list(resized), InterpolationMode.NEAREST_EXACT)
    padded = F.pad(enlarged, [0, 0, right, below], fill=255)
    assert np.array_equal(placement.mask(mask, 255), F.crop(padded, *corner, *canvas)[0].numpy())


@pytest.mark.parametrize("scale", [0.5, 0.77, 1.0, 1.31, 2.0])
def test_a_mask_drawn_as_image_lands_on_the_mask(scale: float) -> None:
    # Rectangles of two classes, whose edges are where a shift of half a pixel would show.
    mask = np.zeros((60, 80), np.uint8)
    mask[13:37, 21:58] = 1
    image = Image.fromarray(mask * 255)
    size = (round(60 * scale), round(80 * scale))
    placement = Placement(size, (min(5, size[0]), 7), (40, 50))
    drawn = np.asarray(placement.image(image, (0,), "bilinear"))
    placed = placement.mask(mask, 0)
    clear = (drawn < 60) | (drawn > 195)  # on an edge, a pixel belongs to both sides in part
    assert ((drawn > 127) == (placed == 1))[clear].all()
    assert clear.mean() > 0.9
    assert 0 < placed.mean() < 1


def test_what_is_not_covered_is_filled() -> None:
    placement = Placement((6, 10), (0, 0), (8, 12))
    image = np.asarray(placement.image(Image.fromarray(noise(20, 12)), FILL, "bilinear"))
    mask = placement.mask(mask_of(20, 12, 3), 255)
    assert (image[6:] == FILL).all()
    assert (image[:, 10:] == FILL).all()
    assert (mask[6:] == 255).all()
    assert (mask[:6, :10] < 3).all()


def test_too_large_a_size_is_refused() -> None:
    with pytest.raises(DataError, match="20 x 12 px is too large: resized, it would be 20000 x 20000"):
        Placement((20_000, 20_000), (0, 0), (8, 8)).image(Image.fromarray(noise(20, 12)), FILL, "bilinear")
