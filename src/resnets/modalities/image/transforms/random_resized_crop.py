"""Inception's random crop, the usual augmentation of ImageNet."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

from resnets.core.config import OMITTED_BY_DEFAULT
from resnets.core.typed import checked
from resnets.modalities.image.preprocessing import Interpolation, Preprocessing
from resnets.modalities.image.transforms.base import RandomCrop, require

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image
    from torch import Tensor

    from resnets.modalities.image.transforms.base import Uniforms

_ATTEMPTS = 10


@dataclass(frozen=True, kw_only=True)
@checked
class RandomResizedCrop(RandomCrop):
    """A box of random area and shape, resized to the size of the input (Szegedy et al. 2015, section 6).

    As in torchvision, the box is the first of ten random ones that lies in the image, else the largest central one of
    an allowed shape.

    Args:
        scale: smallest and largest fraction of the image's area.
        ratio: smallest and largest width / height, as a multiple of the input's, drawn evenly on a log scale. So
            rectangles distort no more than squares do. (torchvision has the same for squares, and for rectangles
            the box's own width / height.)
        interpolation: the filter of the resize: that of evaluation, or for each image bilinear or bicubic, as timm's
            default has it.
    """

    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    interpolation: Literal["evaluation", "random"] = field(default="evaluation", metadata=OMITTED_BY_DEFAULT)

    numbers: ClassVar[int] = 2 * _ATTEMPTS + 2  # area and shape of each attempt, then left and top

    def __post_init__(self) -> None:
        require(0 < self.scale[0] <= self.scale[1] <= 1, f"scale needs 0 < low <= high <= 1, not {self.scale}.")
        require(0 < self.ratio[0] <= self.ratio[1], f"ratio needs 0 < low <= high, not {self.ratio}.")

    def __call__(self, image: Image.Image, u: Uniforms, preprocessing: Preprocessing) -> Image.Image:
        from resnets.modalities.image.transforms import resize

        p = preprocessing
        rows, columns = p.shape()
        left, top, width, height = self.box(image.size, u, columns / rows)
        box = image.crop((left, top, left + width, top + height))
        return resize.resize(box, (columns, rows), self._filter(u, p), antialias=p.antialias)

    def takes_pixels(self, preprocessing: Preprocessing) -> bool:
        p = preprocessing
        return p.color == "RGB" and p.antialias and (p.interpolation != "nearest" or self.interpolation == "random")

    def crop_pixels(self, pixels_CHW: Tensor, u: Uniforms, preprocessing: Preprocessing) -> Tensor:  # noqa: N803
        """As `__call__`, of a decoded (3, height, width) uint8 tensor: the same box, within 2 grey levels of Pillow."""
        import torch.nn.functional as F

        p = preprocessing
        rows, columns = p.shape()
        left, top, width, height = self.box((pixels_CHW.shape[2], pixels_CHW.shape[1]), u, columns / rows)
        box = pixels_CHW[None, :, top : top + height, left : left + width]
        if (height, width) == (rows, columns):
            return box[0]
        return F.interpolate(box, (rows, columns), mode=self._filter(u, p), antialias=True)[0]

    def _filter(self, u: Uniforms, preprocessing: Preprocessing) -> Interpolation:
        if self.interpolation == "evaluation":
            return preprocessing.interpolation
        # The number of the tenth attempt's shape, which otherwise matters where nine attempts failed.
        return "bilinear" if u[2 * _ATTEMPTS - 1] < 0.5 else "bicubic"

    def box(self, size: tuple[int, int], u: Uniforms, aspect: float = 1.0) -> tuple[int, int, int, int]:
        """The box (left, top, width, height) in pixels that `u` picks in an image of `size` = (width, height).

        Args:
            aspect: width / height of the input.
        """
        total_width, total_height = size
        narrowest, widest = self.ratio[0] * aspect, self.ratio[1] * aspect
        low, high = math.log(narrowest), math.log(widest)
        for attempt in range(_ATTEMPTS):
            fraction = self.scale[0] + (self.scale[1] - self.scale[0]) * float(u[2 * attempt])
            area = total_width * total_height * fraction
            ratio = math.exp(low + (high - low) * float(u[2 * attempt + 1]))
            width, height = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < width <= total_width and 0 < height <= total_height:
                left, top = _place(u[-2], total_width - width), _place(u[-1], total_height - height)
                return left, top, width, height
        width, height = total_width, total_height
        if total_width / total_height < narrowest:
            height = round(total_width / narrowest)
        elif total_width / total_height > widest:
            width = round(total_height * widest)
        width, height = max(1, min(width, total_width)), max(1, min(height, total_height))
        return (total_width - width) // 2, (total_height - height) // 2, width, height


def _place(u: np.float32, room: int) -> int:
    """An offset from 0 to `room` pixels."""
    return int(float(u) * (room + 1))
