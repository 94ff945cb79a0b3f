"""Corruptions, against moments, colorsys, and Pillow's and scipy's own functions."""

from __future__ import annotations

import colorsys
import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from resnets.modalities.image.corruptions import CORRUPTIONS, SEVERITIES, corrupted


def waves(channels: int = 3, height: int = 112, width: int = 160) -> NDArray[np.uint8]:
    """(channels, height, width): waves, long and short."""
    rows, columns = np.mgrid[0:height, 0:width]
    grey = 60 * np.sin(rows / 20) + 40 * np.cos(columns / 30) + 20 * np.sin(1.3 * columns) * np.cos(1.1 * rows)
    levels = np.stack([100 + grey + 10 * channel for channel in range(channels)])
    return levels.clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_each_is_worse_with_severity_and_the_same_in_every_run(name: str) -> None:
    for channels in (1, 3):
        image = waves(channels)
        found = [corrupted(image, name, severity, 7) for severity in SEVERITIES]
        changes = [np.abs(each.astype(float) - image).mean() for each in found]
        assert all(each.shape == image.shape and each.dtype == np.uint8 for each in found)
        assert changes == sorted(changes)
        assert changes[0] > 0.1
        np.testing.assert_array_equal(corrupted(image, name, 3, 7), found[2])
        if name.endswith("noise"):
            assert not np.array_equal(corrupted(image, name, 3, 8), found[2])


def test_noise_has_the_moments_of_its_distribution() -> None:
    image = np.full((3, 200, 200), 128, np.uint8)
    for name, reference in (("gaussian_noise", 0.08), ("shot_noise", np.sqrt(128 / 255 / 60))):
        noise = corrupted(image, name, 1, 0).astype(float) / 255 - 128 / 255
        assert noise.std() == pytest.approx(reference, rel=0.02)
        assert noise.mean() == pytest.approx(0, abs=0.002)
    ours = corrupted(image, "impulse_noise", 5, 0)
    for level in (0, 255):
        assert (ours == level).mean() == pytest.approx(0.27 / 2, abs=0.005)
    assert (ours == 128).mean() == pytest.approx(0.73, abs=0.005)


def test_the_others_are_their_formulas() -> None:
    image = waves()
    x = image.transpose(1, 2, 0) / 255
    blurred = gaussian_filter(x, (3 * 112 / 224, 3 * 112 / 224, 0))
    np.testing.assert_allclose(corrupted(image, "gaussian_blur", 3, 0).transpose(1, 2, 0) / 255, blurred, atol=0.003)
    flat = (x - x.mean((0, 1))) * 0.2 + x.mean((0, 1))
    np.testing.assert_allclose(corrupted(image, "contrast", 3, 0).transpose(1, 2, 0) / 255, flat, atol=0.003)
    bright = corrupted(image, "brightness", 2, 0).transpose(1, 2, 0)[::40, ::40].reshape(-1, 3) / 255
    for before, after in zip(x[::40, ::40].reshape(-1, 3), bright, strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*before)
        np.testing.assert_allclose(after, colorsys.hsv_to_rgb(hue, saturation, min(value + 0.2, 1)), atol=0.003)
    file = io.BytesIO()
    plain = Image.fromarray(image.transpose(1, 2, 0))
    plain.save(file, "JPEG", quality=10)
    np.testing.assert_array_equal(corrupted(image, "jpeg_compression", 4, 0).transpose(1, 2, 0), Image.open(file))
    small = plain.resize((80, 56), Image.Resampling.BOX).resize((160, 112), Image.Resampling.NEAREST)
    np.testing.assert_array_equal(corrupted(image, "pixelate", 2, 0).transpose(1, 2, 0), small)
