from __future__ import annotations

import pytest
import torch
from torchvision.transforms.v2 import functional as V

from resnets.core.errors import UsageError
from resnets.modalities.image.transforms import Grayscale
from tests.modalities.image.transforms.samples import photos


def test_they_are_grey_as_torchvisions_where_drawn() -> None:
    images, u = (photos(4) * 255).byte(), torch.tensor([[0.0], [0.39], [0.4], [0.99]])
    found = Grayscale(p=0.4)(images, u)
    torch.testing.assert_close(found[:2], V.rgb_to_grayscale(images[:2].float() / 255, 3), atol=2e-4, rtol=0)
    assert torch.equal(found[2:], images[2:].float() / 255)
    assert torch.equal(found[:2, 0], found[:2, 2])


def test_bgr_images_and_grey_ones() -> None:
    images, u = (photos(2) * 255).byte(), torch.zeros(2, 1)
    assert torch.equal(Grayscale(p=1)(images.flip(1), u, "BGR"), Grayscale(p=1)(images, u))
    grey = images[:, :1]
    assert torch.equal(Grayscale(p=1)(grey, u), grey.float() / 255)


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(UsageError, match="p must be"):
        Grayscale(p=1.5)
