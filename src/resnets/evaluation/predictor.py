"""Predictors: what gives the logits of a dataset's images, a single network or an ensemble.

Over the crops of test-time augmentation and over the networks of an ensemble, probabilities are averaged, not logits
(He et al. 2015, sections 3.4 and 4.1, after Krizhevsky et al. 2012 and Simonyan and Zisserman 2015).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnets.core.renamed import renamed_fields
from resnets.evaluation.tta import OF_THE_CENTER, crop_weights, crops_of_center, tta_crops
from resnets.modalities.base import Dataset
from resnets.modalities.image.preprocessing import Preprocessing, TestTimeAugmentation
from resnets.modalities.image.read.decode_memory import one_image
from resnets.modalities.image.read.pillow import Pixels
from resnets.modalities.image.transforms.normalize import normalize
from resnets.nn.modes import evaluation_mode
from resnets.tasks.forward import forward

BATCH = 128  # samples


class Predictor(Protocol):
    """Gives (N, classes) logits, or logarithms of probabilities.

    Networks compute in evaluation mode, whatever their mode is, and have their own mode again afterwards.
    """

    def load(self, dataset: Dataset, index: int) -> Any:
        """The network's input for sample `index`. Several threads call this at a time.

        Raises:
            DataError: the sample cannot be read.
        """
        ...

    def predict(self, inputs: Sequence[Any]) -> Tensor:
        """(N, classes) for N inputs as `load` returns them."""
        ...


@renamed_fields
class NetworkPredictor:
    """The predictions of one network, averaged over the crops of test-time augmentation.

    Args:
        tta: the test-time augmentation; see `evaluation.tta`.
        device: of `network`; None is the CPU.
        pixels: the dataset's preprocessed images, (samples, channels, crop, crop) uint8, where they are in memory.
    """

    def __init__(
        self,
        network: nn.Module,
        preprocessing: Preprocessing,
        *,
        tta: TestTimeAugmentation = "center",
        device: torch.device | None = None,
        pixels: Pixels | None = None,
    ) -> None:
        self.network = network
        self.preprocessing = preprocessing
        self.tta = tta
        self.device = device or torch.device("cpu")
        self.pixels = pixels if tta in OF_THE_CENTER else None

    def load(self, dataset: Dataset, index: int) -> list[Pixels]:
        """The crops of image `index`, each (channels, height, width) uint8."""
        if self.pixels is not None:
            return crops_of_center(self.pixels[index], self.tta)
        p = self.preprocessing
        with one_image():
            return tta_crops(dataset.image(index, p.color, p.background), p, self.tta, dataset.name(index))

    def predict(self, inputs: Sequence[list[Pixels]]) -> Tensor:
        """(N, classes): the logits where each image has one crop, else the logarithms of mean probabilities."""
        if all(len(crops) == 1 for crops in inputs):
            return self._logits(np.stack([crops[0] for crops in inputs]))
        by_shape: dict[tuple[int, ...], list[tuple[int, int, Pixels]]] = defaultdict(list)
        for row, crops in enumerate(inputs):
            for weight, pixels in zip(crop_weights(self.tta, len(crops)), crops, strict=True):
                by_shape[pixels.shape].append((row, weight, pixels))
        total: Tensor | None = None
        for shape, members in by_shape.items():
            at_once = max(1, BATCH * self.preprocessing.crop**2 // (shape[1] * shape[2]))
            for first in range(0, len(members), at_once):
                part = members[first : first + at_once]
                weighted = F.softmax(self._logits(np.stack([pixels for _, _, pixels in part])).cpu().double(), 1)
                weighted *= torch.tensor([[weight] for _, weight, _ in part])
                if total is None:
                    total = weighted.new_zeros(len(inputs), weighted.shape[1])
                total.index_add_(0, torch.tensor([row for row, _, _ in part]), weighted)
        assert total is not None
        weights = torch.tensor([[sum(crop_weights(self.tta, len(crops)))] for crops in inputs])
        return (total / weights).log()

    def _logits(self, pixels: Pixels) -> Tensor:
        images = normalize(torch.from_numpy(pixels).to(self.device), self.preprocessing)
        with evaluation_mode(self.network):
            return forward(self.network, images)


@renamed_fields
@dataclass(frozen=True)
class Member:
    """A predictor of an ensemble.

    Args:
        order: for each class of the ensemble, its number among the predictor's own classes.
    """

    predictor: Predictor
    order: tuple[int, ...]


@renamed_fields
class Ensemble:
    """Several predictors, whose probabilities are averaged (He et al. 2015, table 5)."""

    def __init__(self, members: Sequence[Member]) -> None:
        self.members = members

    def load(self, dataset: Dataset, index: int) -> list[Any]:
        """The input of each member."""
        return [member.predictor.load(dataset, index) for member in self.members]

    def predict(self, inputs: Sequence[list[Any]]) -> Tensor:
        """(N, classes) logarithms of mean probabilities."""
        probabilities = []
        for number, member in enumerate(self.members):
            logits = member.predictor.predict([of_members[number] for of_members in inputs])
            probabilities.append(F.softmax(logits.cpu().double(), 1)[:, list(member.order)])
        return torch.stack(probabilities).mean(0).log()
