"""The answers of detection: the boxes of an image, each with a class, a score and perhaps a mask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resnets.core.console import printable
from resnets.core.errors import UsageError
from resnets.tasks.boxes import areas
from resnets.tasks.detection.masks import as_json, decode
from resnets.tasks.drawing import class_color, draw_masks, draw_outlines, write_jpeg
from resnets.tasks.restoring import box, class_name, image_size, number
from resnets.tasks.sections import Outline, Part

JPEG_QUALITY = 92


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


def answer_extra(answer: DetectedImage) -> dict[str, Any]:
    """The size of the image, and whether there are masks, which an answer without boxes does not show."""
    return {"size": list(answer.size), "masks": answer.masks is not None}


def restored(data: Mapping[str, Any], classes: tuple[str, ...]) -> DetectedImage:
    """The inverse of `answer_json` and `answer_extra` together."""
    rows, masks = data["boxes"], None
    if data["masks"]:
        masks = np.empty(len(rows), object)
        masks[:] = [str(each["mask"]["counts"]) for each in rows]
    return DetectedImage(
        image_size(data["size"]),
        np.array([box(each["box"]) for each in rows], np.float64).reshape(-1, 4),
        np.array([number(each["score"]) for each in rows], np.float64),
        np.array([classes.index(class_name(each["name"], classes)) for each in rows], np.int64),
        masks,
    )


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


def best(answer: DetectedImage, thresholds: Sequence[float]) -> DetectedImage:
    """The boxes whose score reaches the threshold of their class."""
    return answer.only(answer.scores >= np.asarray(thresholds, np.float64)[answer.labels])


def write_answer(answer: DetectedImage, folder: Path, name: str, image: Any, classes: tuple[str, ...]) -> None:
    """Writes `NAME.drawn.jpg`, the image with its boxes and masks in the colours of their classes (`class_color`).

    Args:
        answer: with the boxes that are to be drawn.
        image: Pillow's image, upright; None where there is none to draw on.
    """
    if image is not None:
        write_jpeg(folder / f"{name}.drawn.jpg", drawn(answer, image, classes), JPEG_QUALITY)


def drawn(answer: DetectedImage, image: Image.Image, classes: tuple[str, ...]) -> Image.Image:
    """`image` with the boxes and masks of its answer, the small ones on top.

    Raises:
        UsageError: the image is not of the size of the answer.
    """
    if image.size != answer.size[::-1]:
        height, width = answer.size
        raise UsageError(
            f"The image has {image.width} x {image.height} pixels, and its answer is of {width} x {height}."
        )
    order = np.argsort(areas(answer.boxes), kind="stable")
    if answer.masks is not None:
        masks = ((decode([answer.masks[k]], answer.size)[0], class_color(int(answer.labels[k]))) for k in order[::-1])
        image = draw_masks(image, masks)
    outlines = [
        Outline(
            _shares(answer.boxes[k], image),
            class_color(int(answer.labels[k])),
            f"{classes[answer.labels[k]]} {answer.scores[k]:.0%}",
        )
        for k in order
    ]
    return draw_outlines(image, outlines)


def _shares(box: NDArray[Any], image: Image.Image) -> Part:
    left, top, right, bottom = (float(value) for value in box)
    return left / image.width, top / image.height, right / image.width, bottom / image.height
