"""VGG's scale augmentation, which the paper's ImageNet networks were trained with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from resnets.core.renamed import renamed_fields
from resnets.core.typed import checked
from resnets.modalities.image.preprocessing import MAX_SIZE, Preprocessing
from resnets.modalities.image.transforms.base import RandomCrop, require

if TYPE_CHECKING:
    from PIL import Image

    from resnets.modalities.image.transforms.base import Uniforms


@renamed_fields
@dataclass(frozen=True, kw_only=True)
@checked
class ScaledCrop(RandomCrop):
    """The shorter side resized to a random length, then a crop at a random place (Simonyan and Zisserman 2015;
    He et al. 2015, section 3.4).

    Args:
        min_size, max_size: smallest and largest length of the shorter side, in pixels, drawn evenly; at least the size
            of the crop.
    """

    min_size: int = 256
    max_size: int = 480

    numbers: ClassVar[int] = 22  # of which the first is the length, the last two left and top: part of the data format

    def __post_init__(self) -> None:
        require(
            1 <= self.min_size <= self.max_size <= MAX_SIZE,
            f"ScaledCrop needs 1 <= min_size <= max_size, not {self.min_size}, {self.max_size}.",
        )

    def scaled(self, was: int, now: int) -> ScaledCrop:
        smallest, largest = (max(now, round(size * now / was)) for size in (self.min_size, self.max_size))
        return replace(self, min_size=min(smallest, MAX_SIZE), max_size=min(largest, MAX_SIZE))

    def __call__(self, image: Image.Image, u: Uniforms, preprocessing: Preprocessing) -> Image.Image:
        from resnets.modalities.image.transforms import resize

        p = preprocessing
        side = self.min_size + int(float(u[0]) * (self.max_size - self.min_size + 1))
        whole, (height, width) = resize.shorter_side_to(image, side, p), p.shape()
        left = int(float(u[-2]) * (whole.width - width + 1))
        top = int(float(u[-1]) * (whole.height - height + 1))
        return resize.crop_at(whole, (left, top), p)
