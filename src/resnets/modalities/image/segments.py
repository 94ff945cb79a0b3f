"""Masks of objects as COCO has them: polygons, or runs of pixels (RLE, column by column), as lists or compressed.

A dataset of many holds each as bytes: polygons as float64, to the last bit of what the file says, runs as their JSON.
"""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnets.core.errors import DataError, not_installed

_FURTHEST, _FURTHEST_SHARE = 1e5, 2.0  # pixels, and fractions of the image's size, of a corner of a polygon
_POLYGONS, _RUNS = b"p", b"r"  # the first byte


def encode_segment(segment: Any, size: tuple[int, int] | None, *, relative: bool = False) -> bytes:
    """The bytes of a parsed `segmentation`: a list of polygons [x1, y1, x2, y2, ...], or {"size", "counts"}.

    Args:
        size: height and width of the image, where they are known. Runs have to be of that size.
        relative: whether polygons are in fractions of width and height.

    Raises:
        ValueError: it is wrong; the message begins after the name of its place.
    """
    if isinstance(segment, dict):
        _check_runs(segment, size)
        return _RUNS + json.dumps({"size": segment["size"], "counts": segment["counts"]}).encode()
    if not isinstance(segment, list) or not segment or not all(isinstance(polygon, list) for polygon in segment):
        raise ValueError("has a segmentation that is neither polygons nor runs (RLE).")
    for polygon in segment:
        if len(polygon) < 6 or len(polygon) % 2:
            raise ValueError(f"has a polygon of {len(polygon)} numbers: it takes x and y of three corners or more.")
    try:
        values = np.array([value for polygon in segment for value in polygon], "<f8")
    except (TypeError, ValueError, OverflowError):
        values = np.array([math.nan])
    if not (np.abs(values) <= (_FURTHEST_SHARE if relative else _FURTHEST)).all():  # NaN is not
        raise ValueError("has a polygon with a corner that is no number, or far outside of the image.")
    lengths = np.array([len(segment), *map(len, segment)], "<u4")
    return _POLYGONS + lengths.tobytes() + values.tobytes()


def decode_segment(encoded: bytes) -> list[list[float]] | dict[str, Any]:
    """The inverse of `encode_segment`: the value of COCO's `segmentation`."""
    if encoded.startswith(_RUNS):
        runs: dict[str, Any] = json.loads(encoded[1:])
        return runs
    count = int(np.frombuffer(encoded, "<u4", 1, 1)[0])
    lengths = np.frombuffer(encoded, "<u4", count, 5)
    values = np.frombuffer(encoded, "<f8", -1, 5 + 4 * count)
    return [part.tolist() for part in np.split(values, np.cumsum(lengths)[:-1])]


def read_segment(encoded: bytes, size: tuple[int, int], place: str, *, relative: bool = False) -> NDArray[np.uint8]:
    """(height, width) 0 and 1: the mask of an object on an image of `size`, as pycocotools draws it.

    Args:
        encoded: by `encode_segment`; b"" where there is no mask.
        place: what to call it in messages.

    Raises:
        DataError: there is none, it has another size than the image, or it cannot be drawn.
        UsageError: the package that draws it is not installed.
    """
    if not encoded:
        raise DataError(f"{place} has no mask, which this task needs: add it, or take the box out.")
    coco: Any = _coco()
    height, width = size
    segment = decode_segment(encoded)
    try:
        if isinstance(segment, list):
            polygons = [(np.array(each).reshape(-1, 2) * _scale(size, relative)).ravel().tolist() for each in segment]
            runs = coco.merge(coco.frPyObjects(polygons, height, width))
        else:
            _check_runs(segment, size)
            counts = segment["counts"]
            compressed = {"size": [height, width], "counts": counts.encode() if isinstance(counts, str) else counts}
            runs = compressed if isinstance(counts, str) else coco.frPyObjects(compressed, height, width)
        return np.ascontiguousarray(coco.decode(runs))
    except (ValueError, RuntimeError) as error:
        text = str(error)
        raise DataError(
            f"{place} {text if text.startswith('has ') else f'has a mask that cannot be drawn: {text}'}"
        ) from None


def _scale(size: tuple[int, int], relative: bool) -> tuple[int, int]:
    return (size[1], size[0]) if relative else (1, 1)


def _check_runs(segment: dict[str, Any], size: tuple[int, int] | None) -> None:
    own, counts = segment.get("size"), segment.get("counts")
    if not isinstance(own, list) or len(own) != 2 or not all(isinstance(side, int) for side in own):
        raise ValueError('has runs (RLE) without their "size", [height, width].')
    if size is not None and tuple(own) != size:
        raise ValueError(f"has a mask of {own[1]} x {own[0]} pixels, and its image, upright, {size[1]} x {size[0]}.")
    if isinstance(counts, str):
        return
    if not isinstance(counts, list) or not all(isinstance(run, int) and run >= 0 for run in counts):
        raise ValueError('has runs (RLE) whose "counts" are neither whole numbers nor a text.')
    total, pixels = sum(counts), math.prod(own)
    if total != pixels:
        raise ValueError(f"has runs (RLE) of {total:,} pixels for a mask of {pixels:,}.")


def _coco() -> Any:
    try:
        from faster_coco_eval.core import mask
    except ImportError:
        raise not_installed("Drawing masks of objects needs faster-coco-eval", "detection") from None
    return mask
