from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as tv

from resnets.modalities.image.transforms import (
    Affine,
)
from tests.modalities.image.transforms.samples import photos


@pytest.mark.parametrize(
    ("transform", "theirs"),
    [
        pytest.param(Affine(degrees=0, translate=0, zoom=0), lambda s: {}, id="nothing"),
        pytest.param(Affine(degrees=40, translate=0, zoom=0), lambda s: {"angle": -40 * s}, id="turn"),
        pytest.param(Affine(degrees=0, translate=0, zoom=0.3), lambda s: {"scale": 1 + 0.3 * s}, id="zoom"),
        pytest.param(
            Affine(degrees=0, translate=0.2, zoom=0),
            lambda s: {"translate": [-0.2 * s * 19, -0.2 * s * 14]},
            id="move",
        ),
        pytest.param(Affine(degrees=0, translate=0, zoom=0, shear=30), lambda s: {"shear": [30 * s, 0]}, id="shear"),
        pytest.param(
            Affine(degrees=40, translate=0, zoom=0.3), lambda s: {"angle": -40 * s, "scale": 1 + 0.3 * s}, id="both"
        ),
    ],
)
@pytest.mark.parametrize("u", [0.0, 0.3, 0.5, 0.9])
def test_affine_transforms_are_torchvisions(
    transform: Affine, theirs: Callable[[float], dict[str, Any]], u: float
) -> None:
    images = photos(2)
    ours = transform(images, torch.full((2, transform.numbers), u))
    options = {"angle": 0.0, "translate": [0, 0], "scale": 1.0, "shear": [0.0, 0.0]} | theirs(2 * u - 1)
    expected = tv.affine(images, interpolation=InterpolationMode.BILINEAR, **options)
    torch.testing.assert_close(ours, expected, atol=2e-4, rtol=0)
