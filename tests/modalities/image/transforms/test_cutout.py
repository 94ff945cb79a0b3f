from __future__ import annotations

import numpy as np
import pytest
import torch

from resnets.modalities.image.transforms import (
    Cutout,
)


@pytest.mark.parametrize(("u", "rows", "columns"), [((0, 0), (0, 2), (0, 2)), ((0.5, 0.999), (3, 7), (8, 11))])
def test_cutout_hides_a_square_about_its_centre(
    u: tuple[float, float], rows: tuple[int, int], columns: tuple[int, int]
) -> None:
    """Against the same in NumPy, in bytes and in float."""
    photo = np.random.default_rng(0).integers(0, 256, (1, 3, 10, 11), np.uint8)
    expected = photo.copy()
    hidden = np.s_[:, :, rows[0] : rows[1], columns[0] : columns[1]]
    mean = photo.mean((2, 3))[:, :, None, None]
    expected[hidden] = mean.round()
    seen = Cutout(size=4)(torch.from_numpy(photo), torch.tensor([u]))
    assert np.array_equal(seen.numpy(), expected)
    as_float = Cutout(size=4)(torch.from_numpy(photo).float() / 255, torch.tensor([u])).numpy()
    assert np.allclose(as_float[hidden], mean / 255)
    as_float[hidden] = expected[hidden] / 255
    assert np.allclose(as_float, expected / 255)
