"""From what a detector finds on its input to the answer in pixels of the image, and from the truth to its objects."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.models.detection.roi_heads import paste_masks_in_image

from resnets.modalities.batch import Batch
from resnets.tasks.detection.answers import DetectedImage
from resnets.tasks.detection.boxes import Detections, Objects
from resnets.tasks.detection.masks import encode
from resnets.tasks.records import ragged
from resnets.tasks.regions import regions_of

INSIDE = 0.5  # the probability above which a pixel belongs to an object


def answer_of(found: Detections, region: Sequence[float], size: tuple[int, int], *, mirrored: bool) -> DetectedImage:
    """The answer for an image.

    Args:
        found: in pixels of the input.
        region: left, top, right and bottom of the image on the input.
        size: height and width of the original.
        mirrored: whether the input is the mirror image.
    """
    left, top, right, bottom = region
    shift = found.boxes.new_tensor([left, top, left, top])
    scale = found.boxes.new_tensor([size[1] / (right - left), size[0] / (bottom - top)] * 2)
    boxes = (found.boxes - shift) * scale
    masks = found.masks
    if mirrored:
        boxes = torch.stack([size[1] - boxes[:, 2], boxes[:, 1], size[1] - boxes[:, 0], boxes[:, 3]], 1)
        masks = None if masks is None else masks.flip(-1)
    on_host = boxes.float().cpu()
    return DetectedImage(
        size,
        on_host.numpy(),
        found.scores.float().cpu().numpy(),
        found.labels.cpu().numpy(),
        None if masks is None else ragged(_drawn(masks.float().cpu(), on_host, size)),
    )


def _drawn(masks: Tensor, boxes: Tensor, size: tuple[int, int]) -> list[str]:
    """The text of each mask (K, S, S) in its box (K, 4) on an image, one by one, since all may not fit."""
    texts = []
    for place in range(len(masks)):
        part = slice(place, place + 1)
        whole = paste_masks_in_image(masks[part, None], boxes[part], size)[0]
        texts.append(str(encode((whole > INSIDE).numpy())[0]))
    return texts


def on_input(batch: Batch) -> Batch:
    """An evaluation batch whose targets are in pixels of the originals, with those in pixels of the input."""
    boxes, masks = list(batch.ragged["boxes"]), list(batch.ragged.get("masks", ()))
    inputs = batch["inputs"]
    regions = regions_of(inputs, batch.dense.get("regions"))
    for row, (size, region) in enumerate(zip(batch["sizes"].tolist(), regions.tolist(), strict=True)):
        left, top, right, bottom = region
        scale = boxes[row].new_tensor([(right - left) / size[1], (bottom - top) / size[0]] * 2)
        boxes[row] = boxes[row] * scale + boxes[row].new_tensor([left, top, left, top])
        if masks:
            whole = masks[row].new_zeros(len(masks[row]), *inputs.shape[2:])
            part = whole[:, round(top) : round(bottom), round(left) : round(right)]
            part.copy_(F.interpolate(masks[row][:, None], part.shape[1:], mode="nearest")[:, 0])
            masks[row] = whole
    changed = {"boxes": tuple(boxes), **({"masks": tuple(masks)} if masks else {})}
    return Batch(batch.dense, {**batch.ragged, **changed})


def objects_of(batch: Batch) -> list[Objects]:
    """The objects of each sample that a detector learns from: those that are no groups, in pixels of the input."""
    kept = [~crowds.bool() for crowds in batch.ragged["crowds"]]
    masks = batch.ragged.get("masks", (None,) * len(kept))
    return [
        Objects(boxes[own], labels[own].long(), None if mask is None else mask[own])
        for own, boxes, labels, mask in zip(kept, batch.ragged["boxes"], batch.ragged["labels"], masks, strict=True)
    ]
