"""Random rotation, translation, scale and shear."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from resnets.core.typed import checked
from resnets.modalities.image.preprocessing import Color
from resnets.modalities.image.transforms.base import BatchTransform, require

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
@checked
class Affine(BatchTransform):
    """A random rotation, translation, scale and shear about the centre; what lies outside the image is black.

    Args:
        degrees: rotation, drawn evenly within ± this.
        translate: translation in each direction, drawn evenly within ± this fraction of the side.
        zoom: scale, drawn evenly within 1 ± this.
        shear: horizontal shear in degrees, drawn evenly within ± this.
    """

    degrees: float = 10.0
    translate: float = 0.1
    zoom: float = 0.1
    shear: float = 0.0

    numbers: ClassVar[int] = 5  # rotation, translation right and down, scale, shear

    def __post_init__(self) -> None:
        require(0 <= self.zoom < 1, f"zoom must be in [0, 1), not {self.zoom}.")
        require(0 <= self.shear < 90, f"shear must be in [0, 90), not {self.shear}.")
        require(min(self.degrees, self.translate) >= 0, "degrees and translate must be 0 or more.")

    def __call__(self, images_NCHW: Tensor, u: Tensor, color: Color = "RGB") -> Tensor:  # noqa: N803
        import torch
        import torch.nn.functional as F

        from resnets.modalities.image.transforms.normalize import as_float

        images = as_float(images_NCHW)
        signed = 2 * u - 1
        angle = signed[:, 0] * math.radians(self.degrees)
        shift = signed[:, 1:3] * self.translate * 2  # grid units: the side is 2 long
        scale = 1 / (1 + signed[:, 3] * self.zoom)
        slant = torch.tan(signed[:, 4] * math.radians(self.shear))
        cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
        aspect = images.shape[3] / images.shape[2]
        rows = [
            torch.stack([cos, (cos * slant - sin) / aspect, shift[:, 0]], 1),
            torch.stack([sin * aspect, sin * slant + cos, shift[:, 1]], 1),
        ]
        grid = F.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
        return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
