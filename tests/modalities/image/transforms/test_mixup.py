from __future__ import annotations

import torch

from resnets.modalities.image.transforms import (
    Mixup,
)
from tests.modalities.image.transforms.samples import photos

PARTNERS = torch.tensor([3, 0, 1, 2, 4])


def test_mixup_blends_each_image_with_its_partner() -> None:
    images, lam = photos(5), torch.tensor([0.0, 0.25, 0.5, 0.9, 1.0])
    mixed, kept = Mixup()(images, PARTNERS, lam, torch.zeros(5, 2))
    weight = lam.numpy()[:, None, None, None]
    expected = weight * images.numpy() + (1 - weight) * images.numpy()[PARTNERS.numpy()]
    torch.testing.assert_close(mixed, torch.from_numpy(expected))
    assert torch.equal(kept, lam)
