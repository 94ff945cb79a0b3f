"""What lies on an image, as it is read with the image, placed on its canvas, and mirrored with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resnets.core.errors import DataError
from resnets.modalities.base import Arrays
from resnets.modalities.batch import Batch, Slot
from resnets.modalities.image.canvas import Targets
from resnets.modalities.image.placement import Placement, Size
from resnets.modalities.image.read.mask import VOID

VISIBLE = 1.0  # pixels of the canvas: an object of which less is shown, in width or height, is none in training


class CanvasTargets(Protocol):
    """Reads and places what lies on the images of a dataset."""

    @property
    def ragged(self) -> tuple[str, ...]:
        """The names of the arrays with a row for each object, of which an image may have any number."""
        ...

    def slots(self, shape: Size) -> Mapping[str, Slot]:
        """The other arrays of a sample; `shape` is that of the canvas."""
        ...

    def place(self, dataset: Any, index: int, size: Size, placement: Placement) -> Arrays:
        """What lies on image `index`, of `size`, where the image comes to lie; all arrays, ragged ones too.

        Raises:
            DataError: it is damaged, or the dataset has no such targets.
        """
        ...

    def mirror(self, batch: Batch, flipped: Tensor) -> Batch:
        """`batch` with what lies on the images mirrored left to right where `flipped` (N,) says so."""
        ...


class MaskTargets:
    """A mask of classes: "masks" (h, w) uint8, `VOID` where a pixel counts for nothing, such as outside the image."""

    ragged: tuple[str, ...] = ()

    def slots(self, shape: Size) -> Mapping[str, Slot]:
        return {"masks": Slot(shape, np.uint8)}

    def place(self, dataset: Any, index: int, size: Size, placement: Placement) -> Arrays:
        return {"masks": placement.mask(dataset.mask(index), VOID)}

    def mirror(self, batch: Batch, flipped: Tensor) -> Batch:
        masks = batch["masks"]
        return batch | {"masks": torch.where(flipped[:, None, None], masks.flip(-1), masks)}


@dataclass(frozen=True)
class BoxTargets:
    """Objects with boxes, in pixels of the canvas.

    "boxes" (n, 4) float32, left, top, right and bottom, cut at the border of what is shown; "labels" (n,) int64;
    "crowds" and "difficult" (n,) bool; "areas" (n,) float32 of the whole objects; with masks, "masks" (n, h, w) uint8
    of 0 and 1. "regions" (4,) float32 is the part of the canvas that shows the image, and "image_ids" () int64 what the
    data calls it.

    Objects of which the canvas shows nothing, or less than `VISIBLE`, are left out here, on the host: how many an image
    has is known there, so that nothing waits for the device. Of an image of one class the largest always stays.

    Args:
        with_masks: whether objects have masks; those of which no pixel is shown are left out too.
    """

    with_masks: bool = False

    @property
    def ragged(self) -> tuple[str, ...]:
        names = ("boxes", "labels", "crowds", "difficult", "areas")
        return (*names, "masks") if self.with_masks else names

    def slots(self, shape: Size) -> Mapping[str, Slot]:
        return {"regions": Slot((4,), np.float32), "image_ids": Slot((), np.int64)}

    def place(self, dataset: Any, index: int, size: Size, placement: Placement) -> Arrays:
        if not hasattr(dataset, "objects"):
            raise DataError(f"{dataset.name(index)} is of a dataset for {dataset.task}, which has no boxes.")
        found = dataset.objects(index, size)
        boxes = placement.boxes(found["boxes"], size)
        is_shown = np.asarray(((boxes[:, 2:] - boxes[:, :2]) >= VISIBLE).all(1))
        single = np.flatnonzero(~found["crowds"])
        if getattr(dataset, "is_of_one_class", False) and len(single) and not is_shown[single].any():
            is_shown[single[found["areas"][single].argmax()]] = True  # it says of what class the image is
        kept = np.flatnonzero(is_shown)
        masks: NDArray[np.uint8] | None = None
        if self.with_masks:
            placed = [placement.mask(dataset.object_mask(index, number, size), 0) for number in kept.tolist()]
            shown = [number for number, mask in enumerate(placed) if mask.any()]
            kept = kept[shown]
            masks = np.array([placed[number] for number in shown], np.uint8).reshape(-1, *placement.canvas)
        scale = placement.resized[0] * placement.resized[1] / (size[0] * size[1])
        arrays: Arrays = {
            "boxes": boxes[kept].astype(np.float32),
            "labels": found["labels"][kept],
            "crowds": found["crowds"][kept],
            "difficult": found["difficult"][kept],
            "areas": (found["areas"][kept] * scale).astype(np.float32),
            "regions": np.array(placement.region, np.float32),
            "image_ids": np.array(dataset.image_ids[index], np.int64),
        }
        return arrays if masks is None else {**arrays, "masks": masks}

    def mirror(self, batch: Batch, flipped: Tensor) -> Batch:
        width = batch["inputs"].shape[-1]
        regions = batch["regions"]
        ragged = dict(batch.ragged)
        ragged["boxes"] = tuple(
            torch.where(one, mirrored_boxes(boxes, width), boxes)
            for one, boxes in zip(flipped, batch.ragged["boxes"], strict=True)
        )
        if self.with_masks:
            ragged["masks"] = tuple(
                torch.where(one, masks.flip(-1), masks)
                for one, masks in zip(flipped, batch.ragged["masks"], strict=True)
            )
        mirrored = torch.where(flipped[:, None], mirrored_boxes(regions, width), regions)
        return Batch({**batch.dense, "regions": mirrored}, ragged)


def mirrored_boxes(boxes: Tensor, width: float) -> Tensor:
    """(n, 4) boxes of an image of `width` that is mirrored left to right."""
    left, top, right, bottom = boxes.unbind(-1)
    return torch.stack((width - right, top, width - left, bottom), -1)


def targets_of(targets: Targets) -> CanvasTargets:
    """What reads the targets that the settings of a canvas name."""
    return MaskTargets() if targets == "masks" else BoxTargets(with_masks=targets == "instances")
