"""AutoAugment against torchvision's on fixed draws."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchvision.transforms as theirs
from torchvision.transforms import InterpolationMode

from resnets.modalities.image.transforms import AutoAugment
from resnets.modalities.image.transforms.auto_augment import IMAGENET
from tests.modalities.image.transforms.policies import FILL, chosen, photo

OURS = AutoAugment(fill=FILL)


@pytest.mark.parametrize("pair", range(25))
def test_every_pair_of_operations_gives_torchvisions_pixels(pair: int, monkeypatch: pytest.MonkeyPatch) -> None:
    image = photo(64, 48, seed=pair)
    peer = theirs.AutoAugment(interpolation=InterpolationMode.BILINEAR, fill=list(FILL))
    for applied in (0.3, 0.5, 0.9):
        for signs in ((0, 0), (0, 1), (1, 0), (1, 1)):
            draws = (pair, torch.tensor([applied, 1 - applied / 2]), torch.tensor(signs))
            monkeypatch.setattr(peer, "get_params", lambda count, draws=draws: draws)
            # A sign of 0 makes theirs negative.
            first, second = (0.2 if sign else 0.7 for sign in signs)
            u = np.array([chosen(pair, len(IMAGENET)), applied, first, 1 - applied / 2, second], np.float32)
            np.testing.assert_array_equal(np.asarray(OURS(image, u)), np.asarray(peer(image)), f"{applied} {signs}")


def test_pairs_are_drawn_evenly() -> None:
    image = photo(16, 12)
    u = np.random.default_rng(1).random((3000, OURS.numbers), np.float32)
    torch.manual_seed(0)
    peer = theirs.AutoAugment(interpolation=InterpolationMode.BILINEAR, fill=list(FILL))
    ours = np.stack([np.asarray(OURS(image, row)) for row in u]).mean((1, 2, 3))
    other = np.stack([np.asarray(peer(image)) for _ in range(len(u))]).mean((1, 2, 3))
    assert np.quantile(ours, [0.1, 0.3, 0.5, 0.7, 0.9]) == pytest.approx(
        np.quantile(other, [0.1, 0.3, 0.5, 0.7, 0.9]), abs=5
    )
