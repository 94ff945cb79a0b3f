from __future__ import annotations

import pytest
import torch
from torchvision.transforms.v2 import functional as V

from resnets.core.errors import UsageError
from resnets.modalities.image.preprocessing import Preprocessing
from resnets.modalities.image.transforms import Augmentations, GaussianBlur
from tests.modalities.image.transforms.samples import photos


@pytest.mark.parametrize(("kernel", "channels"), [(23, 3), (5, 1)])
def test_they_are_blurred_as_by_torchvision_where_drawn(kernel: int, channels: int) -> None:
    images = (photos(4)[:, :channels] * 255).byte()
    u = torch.tensor([[0.0, 0.0], [0.1, 0.5], [0.29, 0.999], [0.3, 0.5]])
    found = GaussianBlur(p=0.3, kernel=kernel)(images, u)
    for image, own, (_, share) in zip(images[:3], found[:3], u[:3].tolist(), strict=True):
        expected = V.gaussian_blur(image.float() / 255, [kernel, kernel], [0.1 + 1.9 * share] * 2)
        torch.testing.assert_close(own, expected, atol=1e-6, rtol=0)
    assert torch.equal(found[3], images[3].float() / 255)


def test_an_image_is_blurred_alike_in_any_batch() -> None:
    images, u = photos(6), torch.rand(6, 2, generator=torch.Generator().manual_seed(0))
    blur = GaussianBlur(p=0.7)
    whole = blur(images, u)
    assert torch.equal(torch.cat([blur(images[:2], u[:2]), blur(images[2:], u[2:])]), whole)


def test_settings_that_do_not_fit_are_refused() -> None:
    for settings, message in (({"p": -1}, "p must be"), ({"kernel": 4}, "odd"), ({"sigma": (0, 1)}, "sigma")):
        with pytest.raises(UsageError, match=message):
            GaussianBlur(**settings)  # type: ignore[arg-type]
    small, large = (Preprocessing(resize=side, crop=side) for side in (11, 12))
    blurred = Augmentations(transforms=(GaussianBlur(),))
    blurred.check(large, least=1, normalize="given", tta="center")
    with pytest.raises(UsageError, match="A kernel of 23 px cannot blur images of 11 px; the maximum is 21 px"):
        blurred.check(small, least=1, normalize="given", tta="center")


def test_at_another_size_it_blurs_the_same_share() -> None:
    assert GaussianBlur().scaled(224, 96) == GaussianBlur(kernel=11, sigma=(0.1 * 96 / 224, 2.0 * 96 / 224))
    assert GaussianBlur(kernel=1).scaled(96, 224).kernel == 1
    assert GaussianBlur(kernel=255).scaled(96, 224).kernel == 255
