"""Masks of objects as COCO writes them: runs of pixels, column by column, compressed to a text (RLE)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnets.core.errors import not_installed
from resnets.tasks.regions import Place

Size = tuple[int, int]  # height and width


def encode(masks: NDArray[Any]) -> NDArray[Any]:
    """(n,) objects: the text of each of `masks` (n, height, width), of which a pixel that is not 0 is part.

    Raises:
        UsageError: faster-coco-eval is not installed.
    """
    texts = np.empty(len(masks), object)
    coco = faster_coco_eval().mask
    for row, mask in enumerate(masks):  # one by one: together they would be in memory twice
        texts[row] = coco.encode(np.asfortranarray(mask != 0, np.uint8))["counts"].decode()
    return texts


def decode(texts: Sequence[str], size: tuple[int, int]) -> NDArray[np.uint8]:
    """(n, height, width) 0 and 1: the masks of `encode`, of an image of `size`.

    Raises:
        UsageError: faster-coco-eval is not installed.
    """
    coco = faster_coco_eval().mask
    masks = [coco.decode(as_json(text, size)) for text in texts]
    return np.stack(masks) if masks else np.zeros((0, *size), np.uint8)


def moved_mask(text: str, place: Place, own: Size, size: Size) -> str:
    """The text of the mask of a part of an image as one of the whole image, of which nothing is painted.

    Args:
        text: of a part of the size `own`, (height, width).
        place: left, top, right and bottom of the part.
        size: of the image, (height, width).
    """
    left, top, *_ = place
    columns, rows = np.nonzero(decode([text], own)[0].T)
    pixels = (columns + left) * size[0] + rows + top  # in the order of the runs: column by column
    starts = pixels[np.diff(pixels, prepend=-2) > 1]
    ends = pixels[np.diff(pixels, append=size[0] * size[1] + 1) > 1] + 1
    changes = np.stack([starts, ends], 1).ravel()
    runs = np.diff(changes, prepend=0, append=size[0] * size[1])
    runs = runs[:-1] if runs[-1] == 0 else runs
    found: bytes = faster_coco_eval().mask.frPyObjects({"size": list(size), "counts": runs.tolist()}, *size)["counts"]
    return found.decode()


def as_json(text: str, size: Iterable[int]) -> dict[str, Any]:
    """The mask as COCO's JSON has it.

    Args:
        size: height and width of the image.
    """
    return {"size": [int(side) for side in size], "counts": text}


def faster_coco_eval() -> Any:
    """The package, which has COCO's masks and its metrics in C++; they are pycocotools' own numbers, and there is no
    second way to them.

    Raises:
        UsageError: it is not installed.
    """
    try:
        import faster_coco_eval
    except ImportError as error:
        raise not_installed("The metrics and masks of detection need faster-coco-eval", "detection") from error
    return faster_coco_eval
