from __future__ import annotations

import numpy as np
import torch

from resnets.modalities.image.transforms import (
    PCAColor,
)
from tests.modalities.image.transforms.samples import photos, uniforms


def test_pca_color_adds_the_same_shift_to_every_pixel() -> None:
    """Against Krizhevsky's formula in NumPy."""
    from statistics import NormalDist

    images = torch.rand(3, 3, 4, 4)
    u = torch.rand(3, 3) * 0.98 + 0.01
    seen = PCAColor(std=0.1)(images, u)
    values = np.array([0.2175, 0.0188, 0.0045])
    vectors = np.array([[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]])
    for i in range(3):
        alpha = np.array([0.1 * NormalDist().inv_cdf(float(x)) for x in u[i]])
        light = vectors @ (alpha * values)
        difference = (seen[i] - images[i]).numpy()
        assert np.abs(difference - light[:, None, None]).max() < 1e-6
    assert np.allclose(vectors.T @ vectors, np.eye(3), atol=1e-3)
    grey = torch.rand(2, 1, 4, 4)
    assert torch.equal(PCAColor()(grey, u[:2]), grey)


def test_bgr_images_are_shifted_as_rgb() -> None:
    images, transform = photos(3), PCAColor(std=1)
    u = uniforms(transform, 3)
    assert torch.equal(transform(images.flip(1), u, "BGR"), transform(images, u).flip(1))
