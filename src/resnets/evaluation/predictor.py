"""How an image becomes one answer: which parts and sizes of it a network sees, and how answers are averaged.

Probabilities are averaged, not logits, as the paper's scores are (He et al. 2015, sections 3.4 and 4.1, after
Krizhevsky et al. 2012 and Simonyan and Zisserman 2015).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, get_args

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from resnets.core.devices import memory_format
from resnets.core.errors import UsageError, unknown
from resnets.core.renamed import renamed_fields
from resnets.data.loader import normalize
from resnets.modalities.base import Dataset
from resnets.modalities.image.preprocessing import Preprocessing, TestTimeAugmentation
from resnets.modalities.image.read.decode_memory import one_image
from resnets.modalities.image.read.pillow import Pixels, center_crop, crop_at, shorter_side_to, to_pixels
from resnets.nn.modes import evaluation_mode

SIDES = (224, 256, 384, 480, 640)  # He et al. 2015, section 3.4, for a crop of 224
CENTRAL: tuple[TestTimeAugmentation, ...] = ("center", "flip", "shift")  # those that look at the central square alone
SHIFT_WEIGHTS = (2, 1, 1, 2, 1, 1)  # the square, it moved twice, and the mirror images of the three
BATCH = 128


class Predictor(Protocol):
    """Gives (N, classes) logits, or logarithms of probabilities, for images; in evaluation mode, whatever the mode
    of its networks, which stays."""

    def load(self, dataset: Dataset, index: int) -> Any:
        """What is needed of an image; called from several threads. Raises `DataError` if it cannot be read."""
        ...

    def predict(self, seen: Sequence[Any]) -> Tensor:
        """(N, classes) for what was seen of N images."""
        ...


@renamed_fields
class NetworkPredictor:
    """One network.

    Args:
        tta: "center": the central square. "flip": it and its mirror image. "shift": it, it moved by a pixel up and
            left and down and right, and the mirror images of the three; the two that are not moved count a quarter
            each, the others an eighth (Jordan 2024, 2404.00498, section 3.5; `infer_mirror_translate` of its script).
            "ten-crop": the central square, those in the corners, and the mirror images of the five. "multi-scale":
            the whole image with its shorter side at each of `SIDES` (for other crops than 224, in proportion), and
            its mirror image; the last layer is linear, so that the mean over positions is taken before it or after it
            alike.
        pixels: the source's images as `prepare` makes them, where they are in memory.
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
        self.pixels = pixels if tta in CENTRAL else None

    def load(self, dataset: Dataset, index: int) -> list[Pixels]:
        if self.pixels is not None:
            return _central_crops(self.pixels[index], self.tta)
        p = self.preprocessing
        with one_image():
            return tta_crops(dataset.image(index, p.color, p.background), p, self.tta, dataset.name(index))

    def predict(self, seen: Sequence[list[Pixels]]) -> Tensor:
        if all(len(crops) == 1 for crops in seen):
            return self._logits(np.stack([crops[0] for crops in seen]))
        by_shape: dict[tuple[int, ...], list[tuple[int, int, Pixels]]] = defaultdict(list)
        for row, crops in enumerate(seen):
            for weight, pixels in zip(self._weights(len(crops)), crops, strict=True):
                by_shape[pixels.shape].append((row, weight, pixels))
        total: Tensor | None = None
        for shape, members in by_shape.items():
            at_once = max(1, BATCH * self.preprocessing.crop**2 // (shape[1] * shape[2]))
            for first in range(0, len(members), at_once):
                part = members[first : first + at_once]
                answers = F.softmax(self._logits(np.stack([pixels for _, _, pixels in part])).cpu().double(), 1)
                answers *= torch.tensor([[weight] for _, weight, _ in part])
                if total is None:
                    total = answers.new_zeros(len(seen), answers.shape[1])
                total.index_add_(0, torch.tensor([row for row, _, _ in part]), answers)
        assert total is not None
        weights = torch.tensor([[sum(self._weights(len(crops)))] for crops in seen])
        return (total / weights).log()

    def _weights(self, crops: int) -> Sequence[int]:
        """How much each of `crops` counts, in the order of `tta_crops`."""
        return SHIFT_WEIGHTS if self.tta == "shift" else (1,) * crops

    def _logits(self, pixels: Pixels) -> Tensor:
        images = normalize(torch.from_numpy(pixels).to(self.device), self.preprocessing)
        with evaluation_mode(self.network):
            logits: Tensor = self.network(images.contiguous(memory_format=memory_format(images.device)))
        return logits


@dataclass(frozen=True)
class Member:
    """One judge of an ensemble, and the place of each of the ensemble's classes among its own."""

    predictor: Predictor
    order: tuple[int, ...]


class Ensemble:
    """Several networks, whose probabilities are averaged (He et al. 2015, table 5)."""

    def __init__(self, members: Sequence[Member]) -> None:
        self.members = members

    def load(self, dataset: Dataset, index: int) -> list[Any]:
        return [member.predictor.load(dataset, index) for member in self.members]

    def predict(self, seen: Sequence[list[Any]]) -> Tensor:
        answers = [
            F.softmax(member.predictor.predict([tta[number] for tta in seen]).cpu().double(), 1)[:, list(member.order)]
            for number, member in enumerate(self.members)
        ]
        return torch.stack(answers).mean(0).log()


def tta_crops(
    image: Image.Image, preprocessing: Preprocessing, tta: TestTimeAugmentation, name: str = "the image"
) -> list[Pixels]:
    """What a network sees of `image`: one (channels, height, width) uint8 for each look.

    Raises:
        DataError: an image too narrow to be resized.
    """
    p = preprocessing
    if tta in CENTRAL:
        return _central_crops(to_pixels(center_crop(image, p, name), p.color), tta)
    if tta == "ten-crop":
        whole = shorter_side_to(image, p.resize, p, name)
        right, bottom = whole.width - p.crop, whole.height - p.crop
        corners = [(0, 0), (right, 0), (0, bottom), (right, bottom)]
        crops = [*(crop_at(whole, corner, p) for corner in corners), center_crop(image, p, name)]
        return _with_mirror_images([to_pixels(crop, p.color) for crop in crops])
    if tta != "multi-scale":
        raise unknown("view", tta, get_args(TestTimeAugmentation))
    if p.mean_image is not None:
        raise UsageError(
            f"This network subtracts a mean image of {p.crop} x {p.crop}, which other sizes do not have: "
            "use --tta center, flip or ten-crop, or a network that subtracts a mean of channels."
        )
    sizes = [shorter_side_to(image, round(side * p.crop / 224), p, name) for side in SIDES]
    return _with_mirror_images([to_pixels(whole, p.color) for whole in sizes])


def _central_crops(pixels: Pixels, tta: TestTimeAugmentation) -> list[Pixels]:
    """What a view of `CENTRAL` makes of the central square."""
    if tta == "center":
        return [pixels]
    if tta == "flip":
        return _with_mirror_images([pixels])
    height, width = pixels.shape[1:]
    wider = np.pad(pixels, ((0, 0), (1, 1), (1, 1)), "reflect" if min(height, width) > 1 else "edge")
    moved = [wider[:, 2:, 2:], wider[:, :height, :width]]
    return _with_mirror_images([pixels, *map(np.ascontiguousarray, moved)])


def _with_mirror_images(straight: Sequence[Pixels]) -> list[Pixels]:
    return [*straight, *(np.ascontiguousarray(pixels[:, :, ::-1]) for pixels in straight)]
