from __future__ import annotations

import numpy as np
from PIL import Image

from resnets.modalities.image.preprocessing import Preprocessing
from resnets.modalities.image.transforms import (
    ScaledCrop,
)


def test_a_scaled_crop_is_torchvisions_resize_and_crop() -> None:
    from torchvision.transforms.v2 import functional as v2

    photo = Image.fromarray(np.random.default_rng(0).integers(0, 255, (70, 90, 3), np.uint8))
    p = Preprocessing(resize=40, crop=32)
    transform = ScaledCrop(min_size=36, max_size=50)
    sides = set()
    for number in range(60):
        u = np.random.default_rng(number).random(ScaledCrop.numbers, np.float32)
        side = 36 + int(float(u[0]) * 15)
        whole = v2.resize(photo, [side], antialias=True)
        top, left = int(float(u[-1]) * (whole.height - 31)), int(float(u[-2]) * (whole.width - 31))
        expected = v2.crop(whole, top, left, 32, 32)
        assert np.array_equal(np.asarray(transform(photo, u, p)), np.asarray(expected))
        sides.add(side)
    assert sides == set(range(36, 51))
