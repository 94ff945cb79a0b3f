"""Masks of objects as COCO writes them: runs of pixels, column by column, compressed to a text (RLE)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnets.core.errors import not_installed


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
