"""torchmetrics with a network as the extractor of features and as a classifier."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torchmetrics.classification import MulticlassAccuracy
from torchmetrics.image.fid import FrechetInceptionDistance

from tests.tools.small import images, trained


def test_the_frechet_distance_is_of_the_networks_features() -> None:
    network = trained().double()
    network.fc = nn.Identity()  # type: ignore[assignment]
    first, second = images(16).double(), images(16).double() + 1
    distance = FrechetInceptionDistance(network, normalize=True, input_img_size=(3, 32, 32)).set_dtype(torch.float64)
    distance.update(first, real=True)
    distance.update(second, real=False)
    with torch.no_grad():
        a, b = (network(x).numpy() for x in (first, second))
    covariances = np.cov(a.T), np.cov(b.T)
    root = np.sqrt(np.linalg.eigvals(covariances[0] @ covariances[1]).astype(complex)).sum().real
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(covariances[0] + covariances[1]) - 2 * root
    np.testing.assert_allclose(distance.compute().item(), expected, rtol=1e-4)


def test_accuracy_of_logits() -> None:
    logits = trained()(images(8))
    labels = torch.arange(8) % 5
    accuracy = MulticlassAccuracy(num_classes=5, average="micro")
    assert accuracy(logits, labels) == (logits.argmax(1) == labels).float().mean()
