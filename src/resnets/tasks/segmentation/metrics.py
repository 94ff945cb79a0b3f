"""The metrics of segmentation: what is recorded of each image, and the exact figures over all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from resnets.modalities.image.read.mask import VOID
from resnets.tasks.base import SampleRecords

THUMBNAIL = 96  # pixels of each side of the masks that a report shows
BAND = 2**18  # pixels whose logits are scored together


def evaluate_batch(logits: Sequence[Tensor], masks: Sequence[Tensor]) -> dict[str, Tensor]:
    """The records of each sample of a batch, of which each has its own size.

    A pixel with a NaN logit never counts as right.

    Args:
        logits: for each sample (classes, H, W).
        masks: for each sample (H, W) uint8, `VOID` where a pixel counts for nothing.

    Returns:
        "intersection", "predicted" and "true": (N, classes) int64, pixels that are of a class and predicted as such,
        predicted as such, and of the class; "pixels" (N,) int64, those that count; "loss" (N,) float64, the
        cross-entropy summed over them, in nats; "predicted_thumbnail" and "true_thumbnail", both masks reduced to
        (N, THUMBNAIL, THUMBNAIL) uint8 for the report.
    """
    records = [_of_sample(one.float(), mask.to(one.device)) for one, mask in zip(logits, masks, strict=True)]
    return {name: torch.stack([record[name] for record in records]) for name in records[0]}


def _of_sample(logits: Tensor, mask: Tensor) -> dict[str, Tensor]:
    rows = max(1, BAND // mask.shape[1])  # the logits of a large image take gigabytes: no copy of all is made
    bands = [_of_band(*band) for band in zip(logits.split(rows, 1), mask.split(rows), strict=True)]
    *counts, losses = zip(*bands, strict=True)
    intersection, predicted, true = (torch.stack(each).sum(0) for each in counts)
    return {
        "intersection": intersection,
        "predicted": predicted,
        "true": true,
        "pixels": true.sum(),
        "loss": torch.cat(losses).sum(),
        "predicted_thumbnail": _reduced(logits).argmax(0).to(torch.uint8),
        "true_thumbnail": _reduced(mask),
    }


def _of_band(logits: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(classes,) pixels that are of a class and predicted as such, predicted as such, and of the class; and the loss of
    each pixel that counts."""
    classes = len(logits)
    counts = mask != VOID
    true = mask[counts].long()
    found = logits[:, counts]  # (classes, pixels)
    predicted = torch.where(found.isnan().any(0), (true + 1) % classes, found.argmax(0))
    right, each, of_class = (
        torch.bincount(numbers, minlength=classes) for numbers in (true[predicted == true], predicted, true)
    )
    return right, each, of_class, F.cross_entropy(found.T, true, reduction="none").cpu().double()


def _reduced(values: Tensor) -> Tensor:
    """(..., H, W) to (..., THUMBNAIL, THUMBNAIL): every so many pixels, whatever the shape of the image."""
    places = 2 * torch.arange(THUMBNAIL, device=values.device) + 1
    rows, columns = (places * side // (2 * THUMBNAIL) for side in values.shape[-2:])
    return values[..., rows[:, None], columns]


def iou(records: SampleRecords) -> NDArray[np.float64]:
    """(classes,) intersection over union of each class over all pixels of all samples (Everingham et al. 2010, section
    4.3); NaN for a class that no mask has and that is predicted nowhere."""
    return _ratio(records["intersection"].sum(0), records["predicted"].sum(0), records["true"].sum(0))


def iou_by_sample(records: SampleRecords) -> NDArray[np.float64]:
    """(N,) the mean IoU of each sample, over the classes that it has or is predicted to have; NaN where all is void."""
    each = _ratio(records["intersection"], records["predicted"], records["true"])
    known = ~np.isnan(each)
    return np.where(known.any(1), np.where(known, each, 0).sum(1) / np.maximum(known.sum(1), 1), np.nan)


def metrics(records: SampleRecords, classes: tuple[str, ...]) -> dict[str, Any]:
    """The figures over all samples, ready for JSON.

    Returns:
        "miou", the mean of `iou` without the classes that are absent from masks and predictions, which "absent" names
        (None where all are); "pixel_accuracy", a fraction of 1; "loss", the mean over the pixels, in nats; "samples",
        "pixels" (those that count) and "classes": by name "iou" (None where absent) and "pixels" of the masks.
    """
    each = iou(records)
    known = ~np.isnan(each)
    true, pixels = records["true"].sum(0), int(records["pixels"].sum())
    return {
        "miou": float(each[known].mean()) if known.any() else None,
        "pixel_accuracy": int(records["intersection"].sum()) / pixels if pixels else None,
        "loss": float(records["loss"].sum()) / pixels if pixels else None,
        "samples": len(records["pixels"]),
        "pixels": pixels,
        "absent": [name for name, there in zip(classes, known, strict=True) if not there],
        "classes": {
            name: {"iou": float(each[i]) if known[i] else None, "pixels": int(true[i])}
            for i, name in enumerate(classes)
        },
    }


def _ratio(
    intersection: NDArray[np.int64], predicted: NDArray[np.int64], true: NDArray[np.int64]
) -> NDArray[np.float64]:
    union = predicted + true - intersection
    return np.where(union > 0, intersection / np.maximum(union, 1), np.nan)
