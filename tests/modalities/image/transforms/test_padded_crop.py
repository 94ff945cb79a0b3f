from __future__ import annotations

import pytest
import torch
from torchvision.transforms import functional as tv

from resnets.modalities.image.transforms import (
    PaddedCrop,
)
from tests.modalities.image.transforms.samples import LAST_UNIFORM, photos


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_padded_crops_are_all_of_torchvisions_crops_each_as_likely(dtype: torch.dtype) -> None:
    photo = (photos(1) * 255).to(dtype)
    side = 2 * 2 + 1
    u = torch.tensor([[(row + 0.5) / side, (column + 0.5) / side] for row in range(side) for column in range(side)])
    ours = PaddedCrop(padding=2)(photo.expand(side**2, -1, -1, -1), u)
    padded = tv.pad(photo, [2])
    theirs = [tv.crop(padded, row, column, 14, 19)[0] for row in range(side) for column in range(side)]
    assert ours.dtype == dtype
    assert {o.numpy().tobytes() for o in ours.contiguous()} == {t.contiguous().numpy().tobytes() for t in theirs}


@pytest.mark.parametrize("u", [0.0, LAST_UNIFORM])
@pytest.mark.parametrize("padding", [0, 1, 4, 7])
def test_padded_crops_reach_from_corner_to_corner(padding: int, u: float) -> None:
    photo = photos(1)
    offset = 0 if u == 0 else 2 * padding
    theirs = tv.crop(tv.pad(photo, [padding]), offset, offset, 14, 19)
    assert torch.equal(PaddedCrop(padding=padding)(photo, torch.full((1, 2), u)), theirs)


def test_a_reflected_border_is_torchvisions() -> None:
    photo = photos(1)
    transform = PaddedCrop(padding=3, fill="reflect")
    for u, (row, column) in {(0.0, 0.0): (0, 0), (0.99, 0.0): (6, 0), (0.5, 0.99): (3, 6)}.items():
        theirs = tv.crop(tv.pad(photo, [3], padding_mode="reflect"), row, column, 14, 19)
        assert torch.equal(transform(photo, torch.tensor([u])), theirs)
