"""Answers as JSON with all that they have, for `commands.unfinished`, and back; by task."""

from __future__ import annotations

import base64
import math
import zlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

Classes = tuple[str, ...]


class Form(NamedTuple):
    """How the answers of a task are stored.

    Args:
        more: of an answer, by key, what `Task.answer_json` leaves out.
        restore: the answer from both together; raises KeyError, TypeError or ValueError where they are damaged.
    """

    more: Callable[[Any], Mapping[str, Any]]
    restore: Callable[[Any, Classes], Any]


def _nothing(answer: Any) -> Mapping[str, Any]:
    return {}


def _number(value: Any) -> float:
    if value is None:  # JSON has no NaN
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("a number is none")
    return float(value)


def _class(name: Any, classes: Classes) -> str:
    if name not in classes:
        raise ValueError("a class is not the model's")
    return str(name)


def _box(value: Any) -> tuple[float, float, float, float]:
    left, top, right, bottom = map(_number, value)
    return left, top, right, bottom


def _size(value: Any) -> tuple[int, int]:
    height, width = value
    if type(height) is not int or type(width) is not int or min(height, width) < 1:
        raise ValueError("a size is none")
    return height, width


def _ranking(said: Any, classes: Classes) -> Any:
    return [(_class(each["name"], classes), _number(each["probability"])) for each in said["classes"]]


def _several(said: Any, classes: Classes) -> Any:
    from resnets.tasks.multilabel.answers import ClassAnswer

    return [
        ClassAnswer(_class(each["name"], classes), _number(each["probability"]), bool(each["chosen"]))
        for each in said["classes"]
    ]


def _target(said: Any, classes: Classes) -> Any:
    return _number(said["target"])


def _guesses(said: Any, classes: Classes) -> Any:
    return [
        (_class(each["name"], classes), _number(each["probability"]), _box(each["box"])) for each in said["classes"]
    ]


def _size_of_image(answer: Any) -> Mapping[str, Any]:
    return {"size": list(answer.size), "masks": answer.masks is not None}


def _boxes(said: Any, classes: Classes) -> Any:
    import numpy as np

    from resnets.tasks.detection.answers import DetectedImage

    rows = said["boxes"]
    masks = None
    if said["masks"]:
        masks = np.empty(len(rows), object)
        masks[:] = [str(each["mask"]["counts"]) for each in rows]
    return DetectedImage(
        _size(said["size"]),
        np.array([_box(each["box"]) for each in rows], np.float64).reshape(-1, 4),
        np.array([_number(each["score"]) for each in rows], np.float64),
        np.array([classes.index(_class(each["name"], classes)) for each in rows], np.int64),
        masks,
    )


def _mask(answer: Any) -> Mapping[str, Any]:
    packed = base64.b64encode(zlib.compress(answer.mask.tobytes()))
    return {"size": list(answer.mask.shape), "mask": packed.decode()}


def _segmented(said: Any, classes: Classes) -> Any:
    import numpy as np

    from resnets.tasks.segmentation.answers import of_mask

    height, width = _size(said["size"])
    try:
        pixels = zlib.decompressobj().decompress(base64.b64decode(said["mask"], validate=True), height * width + 1)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    mask = np.frombuffer(pixels, np.uint8).reshape(height, width)
    if mask.max() >= len(classes):
        raise ValueError("a class is not the model's")
    return of_mask(mask, len(classes))


# By the name of the task.
FORMS: dict[str, Form] = {
    "classification": Form(_nothing, _ranking),
    "multi-label": Form(_nothing, _several),
    "regression": Form(_nothing, _target),
    "localization": Form(_nothing, _guesses),
    "detection": Form(_size_of_image, _boxes),
    "segmentation": Form(_mask, _segmented),
}
