"""What in an image speaks for an answer of a model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from resnets.core.devices import full_float32
from resnets.core.errors import DataError, UsageError, unknown
from resnets.evaluation.grad_cam import grad_cam
from resnets.modalities.given import Given
from resnets.modalities.image.base import upright_image
from resnets.modalities.image.preprocessing import Preprocessing
from resnets.modalities.image.transforms.resize import input_box
from resnets.modalities.inputs import dataset_of, open_reader
from resnets.models.heads import LinearHead

if TYPE_CHECKING:
    from resnets.artifacts.model import Model


@dataclass(frozen=True)
class Explanation:
    """Where in an image the network sees a class.

    Args:
        image: the upright image.
        heat: (height, width) float32 of the image, from 0 to 1; 0 where the network does not see it.
        seen: left, top, right and bottom of what the network sees, in pixels of the image.
        target: the class that is explained.
        answer: of the model's task to the image.
    """

    image: Image.Image
    heat: NDArray[np.float32]
    seen: tuple[float, float, float, float]
    target: str
    answer: Any


def explanations(
    model: Model, inputs: Iterable[Given], target: str | None, stage: str | None
) -> Iterator[tuple[str, Explanation | DataError]]:
    """The name of each of `inputs` and its explanation, or the DataError of one that cannot be read, in turn.

    Args:
        target: the class that is explained; None takes the most probable one of each image.
        stage: whose feature map; see `grad_cam`.

    Raises:
        UsageError: the model is not one of images with a linear classifier, or there is no such class or stage.
    """
    model.check_layers("explain")
    card = model.card
    settings = card.preprocessing
    if not isinstance(settings, Preprocessing) or not isinstance(card.spec.head, LinearHead) or not card.classes:
        raise UsageError(
            f"explain is for classifiers of images, and this is a model of {card.task} of {settings.noun}s."
        )
    if target is not None and target not in card.classes:
        raise unknown("class of the model", target, card.classes)
    if stage is not None and stage not in card.spec.stage_modules:
        raise unknown("stage of the network", stage, card.spec.stage_modules)
    return _explanations(model, inputs, settings, target, stage)


@full_float32()
def _explained(
    model: Model, given: Given, settings: Preprocessing, target: str | None, stage: str | None
) -> Explanation:
    reader, dataset, classes = open_reader(settings), dataset_of(settings, [given]), model.classes
    loaded = reader.load(dataset, 0, "center")
    normalized = reader.normalize(torch.from_numpy(np.stack(loaded.inputs)).to(model.device))
    asked = None if target is None else torch.tensor([classes.index(target)])
    maps, logits = grad_cam(model.network, normalized, asked, stage)
    image = upright_image(dataset, 0, settings)
    box = input_box(image.size, settings)
    explained = target or classes[int(logits.argmax(1))]
    answer = model.task.answers(logits, classes, len(classes))[0]
    return Explanation(image, _on_image(maps[0].cpu().numpy(), image.size, box), box, explained, answer)


def _explanations(
    model: Model, inputs: Iterable[Given], settings: Preprocessing, target: str | None, stage: str | None
) -> Iterator[tuple[str, Explanation | DataError]]:
    for given in inputs:
        try:
            yield given.name, _explained(model, given, settings, target, stage)
        except DataError as error:
            yield given.name, DataError(str(error))


def _on_image(
    heat: NDArray[np.float32], size: tuple[int, int], box: tuple[float, float, float, float]
) -> NDArray[np.float32]:
    """The heat map of an input on the image that it is a part of, bilinearly; 0 outside of it.

    Args:
        heat: (rows, columns).
        size: width and height of the image.
        box: left, top, right and bottom of the input in pixels of the image.
    """
    (rows, columns), (left, top, right, bottom) = heat.shape, box
    x, y = columns / (right - left), rows / (bottom - top)
    found = Image.fromarray(heat, "F").transform(
        size, Image.Transform.AFFINE, (x, 0, -left * x, 0, y, -top * y), Image.Resampling.BILINEAR
    )
    return np.asarray(found, np.float32)
