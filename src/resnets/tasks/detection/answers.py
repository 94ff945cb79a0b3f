"""The answers of detection: the boxes of an image, each with a class, a score and perhaps a mask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnets.core.console import printable
from resnets.tasks.detection.masks import as_json


@dataclass(frozen=True, eq=False)
class DetectedImage:
    """The answer for one image, the best box first; boxes without a finite score and place are left out.

    Args:
        size: height and width of the image.
        boxes: (n, 4) left, top, right and bottom in pixels of the upright image.
        scores: (n,) from 0 to 1.
        labels: (n,) numbers of classes.
        masks: (n,) the text of each mask (`masks.encode`); None where the model answers none.
    """

    size: tuple[int, int]
    boxes: NDArray[Any]
    scores: NDArray[Any]
    labels: NDArray[Any]
    masks: NDArray[Any] | None = None

    def __post_init__(self) -> None:
        finite = np.isfinite(self.scores) & np.isfinite(self.boxes).all(1)
        order = np.flatnonzero(finite)[np.argsort(-self.scores[finite], kind="stable")]
        for name in ("boxes", "scores", "labels", "masks"):
            if (values := getattr(self, name)) is not None:
                object.__setattr__(self, name, values[order])

    def __len__(self) -> int:
        return len(self.scores)

    def only(self, which: NDArray[Any]) -> DetectedImage:
        """The answer with some of the boxes.

        Args:
            which: (n,) bool, or their numbers.
        """
        masks = None if self.masks is None else self.masks[which]
        return DetectedImage(self.size, self.boxes[which], self.scores[which], self.labels[which], masks)


def answer_json(answer: DetectedImage, classes: tuple[str, ...]) -> dict[str, Any]:
    """The boxes, the best first, in pixels of the upright image."""
    boxes: list[dict[str, Any]] = [
        {"name": classes[label], "score": score, "box": box}
        for label, score, box in zip(answer.labels.tolist(), answer.scores.tolist(), answer.boxes.tolist(), strict=True)
    ]
    for place, each in enumerate(boxes):
        if answer.masks is not None:
            each["mask"] = as_json(answer.masks[place], answer.size)
    return {"boxes": boxes}


def answer_lines(answer: DetectedImage, classes: tuple[str, ...]) -> list[str]:
    """A line for each box, with its class, its score, and its place in whole pixels."""
    if not len(answer):
        return ["  no boxes"]
    return [
        f"  {score:7.2%}  {printable(classes[label])}  {left:.0f}, {top:.0f} to {right:.0f}, {bottom:.0f}"
        for label, score, (left, top, right, bottom) in zip(
            answer.labels.tolist(), answer.scores.tolist(), answer.boxes.tolist(), strict=True
        )
    ]
