"""TrivialAugment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from resnets.core.typed import checked
from resnets.modalities.image.transforms.base import ImagePolicy, pick, require
from resnets.modalities.image.transforms.magnitudes import WIDE
from resnets.modalities.image.transforms.operations import Fill, Filter, Operation, apply

if TYPE_CHECKING:
    from PIL import Image

    from resnets.modalities.image.transforms.base import Uniforms

OPERATIONS: tuple[Operation, ...] = (
    "identity", "shear_x", "shear_y", "translate_x", "translate_y", "rotate", "brightness", "color", "contrast",
    "sharpness", "posterize", "solarize", "auto_contrast", "equalize",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
@checked
class TrivialAugmentWide(ImagePolicy):
    """One operation of fourteen on each image, at a random magnitude of the wide range (Müller and Hutter 2021,
    2103.10158, table 1), as torchvision's class of this name.

    Args:
        bins: magnitudes that are drawn from, evenly spaced from no change to the largest.
        interpolation: of rotations, shears and translations.
        fill: red, green and blue, from 0 to 255, of what they leave empty.
    """

    bins: int = 31
    interpolation: Filter = "bilinear"
    fill: Fill = (0, 0, 0)

    def __post_init__(self) -> None:
        require(2 <= self.bins <= 1000, f"bins must be from 2 to 1000, not {self.bins}.")
        super().__post_init__()

    @property
    def numbers(self) -> int:
        return 3  # operation, magnitude, sign

    def __call__(self, image: Image.Image, u: Uniforms) -> Image.Image:
        operation, magnitude = OPERATIONS[pick(u[0], len(OPERATIONS))], pick(u[1], self.bins)
        argument = WIDE.argument(operation, magnitude, self.bins, bool(u[2] >= 0.5), image.size)
        return apply(image, operation, argument, interpolation=self.interpolation, fill=self.fill)
