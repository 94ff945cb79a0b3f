"""What tests of policies share: images, and torchvision's operations by our names."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms.autoaugment import _apply_op

FILL = (124, 116, 104)


def photo(width: int = 37, height: int = 29, seed: int = 0) -> Image.Image:
    """Random smooth colours, not square."""
    small = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def torchvision_name(operation: str) -> str:
    """Such as "ShearX" for "shear_x"."""
    return "".join(part.capitalize() for part in operation.split("_"))


def by_torchvision(image: Image.Image, operation: str, magnitude: float, interpolation: str) -> NDArray[np.uint8]:
    """The pixels of `image` after torchvision's operation of the same name."""
    changed = _apply_op(
        image, torchvision_name(operation), magnitude, InterpolationMode(interpolation), list(FILL)  # type: ignore[arg-type]
    )  # fmt: skip
    return np.asarray(changed)


def chosen(number: int, count: int) -> float:
    """The uniform number that picks `number` of `count` choices."""
    return (number + 0.5) / count
