"""Folders of images with masks for tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.conftest import noise


def write_pair(image: Path, mask: Path, *, width: int = 20, height: int = 12, classes: int = 3, seed: int = 0) -> None:
    """Writes an image of noise and a grey mask of noise that has all of its classes."""
    for path in (image, mask):
        path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise(width, height, seed=seed)).save(image)
    Image.fromarray(mask_of(width, height, classes, seed)).save(mask)


def mask_of(width: int, height: int, classes: int, seed: int = 0) -> NDArray[np.uint8]:
    """(height, width) class numbers, all of them there."""
    values = np.arange(width * height) % classes
    return np.random.default_rng(seed).permutation(values).reshape(height, width).astype(np.uint8)


def write_masks(root: Path, counts: dict[str, int], **how: int) -> Path:
    """Writes `counts[split]` pairs into SPLIT/ and SPLITannot/."""
    for split, count in counts.items():
        for number in range(count):
            name = f"{number}.png"
            write_pair(root / split / name, root / f"{split}annot" / name, seed=number, **how)
    return root
