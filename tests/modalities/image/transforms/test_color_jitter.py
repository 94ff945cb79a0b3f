from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torchvision.transforms import ColorJitter as TheirJitter
from torchvision.transforms import functional as tv

from resnets.modalities.image.transforms import (
    ColorJitter,
)
from tests.modalities.image.transforms.samples import photos, uniforms

JITTERS: dict[str, Callable[[Tensor, float], Tensor]] = {
    "brightness": tv.adjust_brightness,
    "contrast": tv.adjust_contrast,
    "saturation": tv.adjust_saturation,
    "hue": tv.adjust_hue,
}


def jitter(**changes: float) -> ColorJitter:
    return ColorJitter(**{"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0} | changes)


@pytest.mark.parametrize("u", [0.0, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("names", [[name] for name in JITTERS] + [list(JITTERS)])
def test_colours_change_as_torchvisions(names: list[str], u: float) -> None:
    images, spread = photos(3), 0.5
    ours = jitter(**dict.fromkeys(names, spread))(images, torch.full((3, 4), u))
    expected = images
    for name in names:
        change = (2 * u - 1) * spread
        expected = JITTERS[name](expected, change if name == "hue" else 1 + change)
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=0)


def test_colours_of_8_bit_images_change_as_those_of_floats() -> None:
    images, transform = (photos(3) * 255).byte(), ColorJitter(hue=0.3)
    u = uniforms(transform, 3)
    torch.testing.assert_close(transform(images, u), transform(images / 255, u))


def test_grey_images_have_no_colour_to_change() -> None:
    grey, u = photos(2, 1), torch.full((2, 4), 0.9)
    assert torch.equal(jitter(saturation=0.5, hue=0.5)(grey, u), grey)
    ours = jitter(contrast=0.5)(grey, u)
    torch.testing.assert_close(ours, tv.adjust_contrast(grey, 1.4), atol=1e-6, rtol=0)


def test_changes_beyond_all_stop_at_black() -> None:
    assert jitter(brightness=3.0)(photos(1), torch.zeros(1, 4)).max() == 0


@pytest.mark.parametrize("spread", [0.3, 1.0, 1.5, 4.0])
def test_factors_are_spread_as_torchvisions(spread: float) -> None:
    count = 4000
    transform = jitter(brightness=spread)
    # 0.01 times any factor stays below white
    ours = transform(torch.full((count, 1, 1, 1), 0.01), uniforms(transform, count)).flatten().sort().values * 100
    low, high = TheirJitter(brightness=spread).brightness
    expected = low + (high - low) * (torch.arange(count) + 0.5) / count
    torch.testing.assert_close(ours, expected, atol=0.03 * (high - low), rtol=0)


@pytest.mark.parametrize("spread", [0.4, 1.0])
def test_factors_up_to_1_are_to_the_bit_what_they_were(spread: float) -> None:
    transform, images = jitter(brightness=spread), photos(300)
    u = uniforms(transform, 300)
    factors = torch.clamp(1 + (2 * u[:, 0] - 1) * spread, min=0)[:, None, None, None]
    assert torch.equal(transform(images, u), (images * factors).clamp(0, 1))


@pytest.mark.parametrize("names", [[name] for name in JITTERS])
def test_colours_of_bgr_images_change_as_those_of_rgb(names: list[str]) -> None:
    images, transform = photos(3), jitter(**dict.fromkeys(names, 0.5))
    u = uniforms(transform, 3)
    expected = transform(images, u).flip(1)
    assert torch.equal(transform(images.flip(1), u, "BGR"), expected)
