from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from resnets.modalities.image.transforms import (
    CutMix,
)
from tests.modalities.image.transforms.samples import LAST_UNIFORM, photos

PARTNERS = torch.tensor([3, 0, 1, 2, 4])


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.floats(0, 1, width=32), min_size=5, max_size=5),
    arrays(np.float32, (5, 2), elements=st.floats(0, LAST_UNIFORM, width=32)),
    st.integers(1, 40),
    st.integers(1, 40),
)
def test_the_lam_that_cutmix_returns_is_the_fraction_of_the_pixels(
    lam: list[float], u: NDArray[np.float32], height: int, width: int
) -> None:
    numbered = torch.arange(5.0)[:, None, None, None].expand(-1, 3, height, width)
    mixed, kept = CutMix()(numbered, PARTNERS, torch.tensor(lam), torch.from_numpy(u))
    for i, photo in enumerate(mixed.numpy()):
        own, pasted = photo == i, photo == int(PARTNERS[i])
        assert (own | pasted).all()
        if i != PARTNERS[i]:
            assert kept[i].item() == pytest.approx(own.mean(), abs=1e-6)
            rows, columns = np.nonzero(pasted[0])
            if len(rows):  # one full rectangle
                assert len(rows) == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)


@pytest.mark.parametrize("lam", [0.0, 0.2, 0.5, 0.9, 1.0])
def test_a_cutmix_rectangle_away_from_the_edges_has_the_area_that_lam_leaves(lam: float) -> None:
    images = photos(2, 3, 200, 200)
    _, kept = CutMix()(images, torch.tensor([1, 0]), torch.full((2,), lam), torch.full((2, 2), 0.5))
    assert kept.tolist() == pytest.approx([lam] * 2, abs=0.02)


def test_a_cutmix_rectangle_may_lie_anywhere() -> None:
    count, side = 4000, 10
    black, white = torch.zeros(count, 1, side, side), torch.ones(count, 1, side, side)
    numbers = torch.from_numpy(np.random.default_rng(0).random((2 * count, 2), np.float32))
    mixed, _ = CutMix()(
        torch.cat([black, white]), torch.arange(2 * count).roll(count), torch.full((2 * count,), 0.9), numbers
    )
    covered = mixed[:count, 0].mean(0)
    # A side of 3 pixels, cut at the edges; a pixel is reached from two places of the centre in each direction.
    assert covered.max().item() == pytest.approx((2 / side) ** 2, abs=0.01)
    assert covered.min().item() == pytest.approx((1 / side) ** 2, abs=0.01)
