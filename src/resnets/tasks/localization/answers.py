"""The answers of localization: for each image the most probable classes, each with a box."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from resnets.core.console import printable
from resnets.tasks.drawing import class_color, draw_outlines, write_jpeg
from resnets.tasks.restoring import box, class_name, number
from resnets.tasks.sections import Outline

JPEG_QUALITY = 90
Box = tuple[float, float, float, float]  # left, top, right and bottom in pixels of the image
Guess = tuple[str, float, Box]  # a class, its probability, and the box of an object of it


def answers(outputs: Tensor, classes: tuple[str, ...], top: int) -> list[list[Guess]]:
    """The `top` most probable classes of each sample, with their boxes.

    Args:
        outputs: (N, classes, 5) logits, and boxes in pixels.
    """
    found = []
    for logits, boxes in ((each[:, 0], each[:, 1:]) for each in outputs.float().cpu()):
        values, numbers = logits.softmax(0).topk(min(top, len(classes)))
        found.append(
            [
                (classes[number], value, (box[0], box[1], box[2], box[3]))
                for number, value, box in zip(numbers.tolist(), values.tolist(), boxes[numbers].tolist(), strict=True)
            ]
        )
    return found


def answer_json(answer: list[Guess]) -> dict[str, Any]:
    return {"classes": [{"name": name, "probability": share, "box": list(box)} for name, share, box in answer]}


def restored(data: Mapping[str, Any], classes: tuple[str, ...]) -> list[Guess]:
    """The inverse of `answer_json`."""
    return [
        (class_name(each["name"], classes), number(each["probability"]), box(each["box"])) for each in data["classes"]
    ]


def answer_lines(answer: list[Guess]) -> list[str]:
    """A line for each class, with its probability, and its box in whole pixels."""
    return [
        f"  {share:7.2%}  {printable(name)}  {left:.0f}, {top:.0f} to {right:.0f}, {bottom:.0f}"
        for name, share, (left, top, right, bottom) in answer
    ]


def write_answer(answer: list[Guess], folder: Path, name: str, image: Any, classes: tuple[str, ...]) -> None:
    """Writes `NAME.drawn.jpg`, the image with the box of its most probable class.

    Args:
        image: Pillow's image, upright; None where there is none to draw on.
    """
    if image is None:
        return
    named, share, (left, top, right, bottom) = answer[0]
    shares = (left / image.width, top / image.height, right / image.width, bottom / image.height)
    outline = Outline(shares, class_color(classes.index(named)), f"{named} {share:.0%}")
    write_jpeg(folder / f"{name}.drawn.jpg", draw_outlines(image, [outline]), JPEG_QUALITY)


def ranked(outputs: Tensor) -> Tensor:
    """(N, classes) the classes of each sample, the most probable first; of equal ones the first."""
    return torch.sort(outputs[:, :, 0], dim=1, descending=True, stable=True).indices
