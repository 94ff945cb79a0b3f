from __future__ import annotations

import pytest
import torch
from torchvision.transforms import functional as tv

from resnets.modalities.image.transforms import (
    Flip,
)
from tests.modalities.image.transforms.samples import LAST_UNIFORM, photos, uniforms


@pytest.mark.parametrize(("p", "expected"), [(0.0, 0), (0.5, 500), (0.25, 250), (1.0, 1000)])
def test_flips_are_as_frequent_as_p_says(p: float, expected: int) -> None:
    images, transform = photos(1000, 1, 2, 3), Flip(p=p)
    seen = transform(images, uniforms(transform, 1000))
    flipped = [torch.equal(s, tv.hflip(i)) for s, i in zip(seen, images, strict=True)]
    assert all(f or torch.equal(s, i) for f, s, i in zip(flipped, seen, images, strict=True))
    assert abs(sum(flipped) - expected) <= (50 if 0 < p < 1 else 0)


@pytest.mark.parametrize(("p", "u", "flipped"), [(0.0, 0.0, False), (1.0, LAST_UNIFORM, True)])
def test_p_of_0_flips_none_and_p_of_1_flips_all(p: float, u: float, flipped: bool) -> None:
    images = photos(1)
    seen = Flip(p=p)(images, torch.full((1, 1), u))
    assert torch.equal(seen, tv.hflip(images) if flipped else images)
