"""What in an image speaks for an answer of a model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from resnets.artifacts.embeddings import check_layers
from resnets.artifacts.model_file import ModelCard
from resnets.core.devices import full_float32
from resnets.core.errors import DataError, UsageError, unknown
from resnets.evaluation.grad_cam import grad_cam
from resnets.evaluation.predictor import NetworkPredictor
from resnets.modalities.given import Given
from resnets.modalities.inputs import dataset_of
from resnets.models.heads import LinearHead
from resnets.tasks.catalog import open_task


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
    inputs: Iterable[Given], predictor: NetworkPredictor, card: ModelCard, target: str | None, stage: str | None
) -> Iterator[tuple[str, Explanation | DataError]]:
    """The name of each of `inputs` and its explanation, or the DataError of one that cannot be read, in turn.

    Args:
        target: the class that is explained; None takes the most probable one of each image.
        stage: whose feature map; see `grad_cam`.

    Raises:
        UsageError: the model is not one of images with a linear classifier, its layers cannot be reached, or there is
            no such class or stage.
    """
    check_layers(predictor.network, "explain")
    if card.preprocessing.part_of((1, 1)) is None or not isinstance(card.spec.head, LinearHead) or not card.classes:
        raise UsageError(
            f"explain is for classifiers of images, and this is a model of {card.task} of {card.preprocessing.noun}s."
        )
    if target is not None and target not in card.classes:
        raise unknown("class of the model", target, card.classes)
    if stage is not None and stage not in card.spec.stage_modules:
        raise unknown("stage of the network", stage, card.spec.stage_modules)
    return _explanations(inputs, predictor, card, target, stage)


def _explanations(
    inputs: Iterable[Given], predictor: NetworkPredictor, card: ModelCard, target: str | None, stage: str | None
) -> Iterator[tuple[str, Explanation | DataError]]:
    for given in inputs:
        try:
            yield given.name, _explained(given, predictor, card, target, stage)
        except DataError as error:
            yield given.name, DataError(str(error))


@full_float32()
def _explained(
    given: Given, predictor: NetworkPredictor, card: ModelCard, target: str | None, stage: str | None
) -> Explanation:
    reader, dataset, classes = predictor.reader, dataset_of(card.preprocessing, [given]), card.classes
    pixels = torch.from_numpy(np.stack(predictor.load(dataset, 0).inputs)).to(predictor.device)
    asked = None if target is None else torch.tensor([classes.index(target)])
    maps, logits = grad_cam(predictor.network, reader.normalize(pixels), asked, stage)
    image = reader.thumbnail(dataset, 0)
    assert image is not None
    part = card.preprocessing.part_of(image.size)
    assert part is not None
    explained = target or classes[int(logits.argmax(1))]
    answer = open_task(card.settings).answers(logits, classes, len(classes))[0]
    return Explanation(image, _on_image(maps[0].cpu().numpy(), image.size, part), part, explained, answer)


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
