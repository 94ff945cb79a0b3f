"""Where an image lands in the input of a network, in pixels."""

from __future__ import annotations


def covering(size: tuple[int, int], shape: tuple[int, int]) -> tuple[int, int]:
    """The least width and height, in the proportions of `size`, that cover `shape` = (rows, columns).

    As torchvision's Resize: the side that is not given is rounded down.
    """
    (width, height), (rows, columns) = size, shape
    if width * rows <= height * columns:
        return columns, max(rows, int(columns * height / width))
    return max(columns, int(rows * width / height)), rows


def inside(size: tuple[int, int], shape: tuple[int, int]) -> tuple[int, int]:
    """The greatest width and height, in the proportions of `size`, that fit into `shape` = (rows, columns)."""
    (width, height), (rows, columns) = size, shape
    if width * rows >= height * columns:
        return columns, min(rows, max(1, round(height / width * columns)))
    return min(columns, max(1, round(width / height * rows))), rows


def center(size: tuple[int, int], shape: tuple[int, int]) -> tuple[int, int]:
    """Left and top of the centre of `shape` = (rows, columns) in `size` = (width, height); as torchvision's CenterCrop,
    rounded to the nearest even."""
    return round((size[0] - shape[1]) / 2.0), round((size[1] - shape[0]) / 2.0)
