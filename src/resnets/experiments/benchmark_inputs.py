"""What a network of any task is measured with: a recipe, and a batch of random samples."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from resnets.modalities.batch import Batch
from resnets.modalities.image.canvas import Canvas
from resnets.modalities.image.canvas_augmentations import CanvasAugmentations
from resnets.modalities.image.preprocessing import Preprocessing
from resnets.models.box_heads import BoxHead
from resnets.models.counts import InputSize, sides
from resnets.models.heads import LinearHead, LocalizationHead
from resnets.models.spec import Spec
from resnets.recipes import paper
from resnets.tasks.catalog import AnyTask
from resnets.tasks.detection.settings import Detect
from resnets.tasks.localization.settings import Localize
from resnets.tasks.segmentation.settings import Segment
from resnets.training.recipe import Recipe

OBJECTS = 8  # on each image of a detector


def whole_images(height: int, width: int) -> Preprocessing:
    """For a classifier of inputs of this size, without a margin around the crop."""
    return Preprocessing(resize=min(height, width), crop=(height, width))


def recipe_for(spec: Spec, size: InputSize, **settings: Any) -> Recipe:
    """The paper's SGD for a network of the task that its head is for, on inputs of `size`.

    Args:
        settings: of the recipe, such as `batch`.
    """
    height, width = sides(spec, size)
    plain = replace(paper.cifar(), name="benchmark", normalize="given")
    if isinstance(spec.head, LinearHead):
        return replace(plain, model=spec, preprocessing=whole_images(height, width), **settings)
    task: AnyTask = Segment()
    targets = "masks"
    if isinstance(spec.head, BoxHead):
        task, targets = Detect(masks=spec.head.masks), "instances" if spec.head.masks else "boxes"
    elif isinstance(spec.head, LocalizationHead):
        task, targets = Localize(), "boxes"
    canvas = Canvas(
        resize=min(height, width),
        max_size=max(height, width),
        crop=(height, width),
        targets=targets,  # type: ignore[arg-type]
    )
    return replace(
        plain,
        model=spec,
        task=task,
        preprocessing=canvas,
        augmentations=CanvasAugmentations(),
        **settings,  # type: ignore[arg-type]
    )


def random_batch(spec: Spec, size: InputSize, count: int, g: np.random.Generator) -> Batch:
    """So many samples: inputs and what the task of the network's head learns from, and the sizes of its images."""
    height, width = sides(spec, size)
    inputs = torch.from_numpy(g.standard_normal((count, spec.channels, height, width), "float32"))
    if isinstance(spec.head, LinearHead):
        return Batch({"inputs": inputs, "labels": torch.from_numpy(g.integers(0, spec.classes, count))})
    dense = {
        "inputs": inputs,
        "sizes": torch.tensor([[height, width]]).expand(count, 2),
        "mirrored": torch.zeros(count, dtype=torch.bool),
    }
    if not isinstance(spec.head, BoxHead | LocalizationHead):
        masks = g.integers(0, spec.classes, (count, height, width), np.uint8)
        return Batch({**dense, "masks": torch.from_numpy(masks)})
    objects = [_objects(spec, (height, width), g) for _ in range(count)]
    return Batch(dense, {name: tuple(each[name] for each in objects) for name in objects[0]})


def _objects(spec: Spec, size: tuple[int, int], g: np.random.Generator) -> dict[str, Tensor]:
    """Boxes of a quarter of the image to all of it, with classes and, where the head has them, masks."""
    height, width = size
    count = OBJECTS if isinstance(spec.head, BoxHead) else 1
    shares = g.uniform([0, 0, 0.25, 0.25], [0.5, 0.5, 0.5, 0.5], (count, 4))
    corners = np.concatenate([shares[:, :2], shares[:, :2] + shares[:, 2:]], 1)
    boxes = torch.from_numpy((corners * [width, height, width, height]).astype(np.float32))
    found = {
        "boxes": boxes,
        "labels": torch.from_numpy(g.integers(0, spec.classes, count)),
        "crowds": torch.zeros(count, dtype=torch.bool),
    }
    if isinstance(spec.head, BoxHead) and spec.head.masks:
        masks = torch.zeros(count, height, width, dtype=torch.uint8)
        for mask, (left, top, right, bottom) in zip(masks, boxes.int().tolist(), strict=True):
            mask[top:bottom, left:right] = 1
        found["masks"] = masks
    return found
