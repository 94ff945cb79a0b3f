from __future__ import annotations

import numpy as np
import torch
from torchvision import transforms

from resnets.modalities.image.preprocessing import Preprocessing, encode_mean_image
from resnets.modalities.image.transforms.normalize import normalize

SMALL = Preprocessing(resize=16, crop=12)


def test_normalising_is_torchvisions_for_bytes_and_floats() -> None:
    images = torch.randint(0, 256, (2, 3, 12, 12), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    expected = transforms.Normalize(SMALL.mean, SMALL.std)(images / 255)
    torch.testing.assert_close(normalize(images, SMALL), expected)
    torch.testing.assert_close(normalize(images / 255, SMALL), expected)


def test_a_mean_image_is_taken_out_pixel_by_pixel() -> None:
    mean = np.random.default_rng(0).random((3, 12, 12), np.float32)
    p = Preprocessing(resize=16, crop=12, std=(0.5, 1.0, 2.0), mean_image=encode_mean_image(mean))
    images = torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    expected = (images.numpy() - mean) / np.array([0.5, 1.0, 2.0], np.float32)[:, None, None]
    torch.testing.assert_close(normalize(images, p), torch.from_numpy(expected))
