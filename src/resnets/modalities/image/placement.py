"""Where an image lands on a canvas, as data: computed once, it is applied to the image and to all that lies on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resnets.core.errors import DataError
from resnets.modalities.image.preprocessing import Interpolation
from resnets.modalities.image.read.pillow import MAX_PIXELS
from resnets.modalities.image.transforms.resize import resize

Size = tuple[int, int]  # height and width in pixels


@dataclass(frozen=True)
class Placement:
    """The whole image resized; from `corner` on, what fits is cut out and lies at the top left of the canvas.

    Args:
        resized: height and width of the whole image after resizing.
        corner: row and column of the resized image that come to the top left of the canvas.
        canvas: height and width of the result. What the image does not cover is filled.
    """

    resized: Size
    corner: Size
    canvas: Size

    def image(
        self, image: Image.Image, fill: tuple[int, ...], how: Interpolation, *, antialias: bool = True
    ) -> Image.Image:
        """`image` on the canvas.

        Args:
            fill: a value from 0 to 255 for each channel.

        Raises:
            DataError: resized, the image would have more than `MAX_PIXELS`.
        """
        height, width = self.resized
        if height * width > MAX_PIXELS:
            raise DataError(
                f"An image of {image.width} x {image.height} px is too large: resized, it would be {width} x {height}."
            )
        part = resize(image, (width, height), how, antialias=antialias).crop(self._box)
        if part.size == (self.canvas[1], self.canvas[0]):
            return part
        whole = Image.new(image.mode, (self.canvas[1], self.canvas[0]), fill if len(fill) > 1 else fill[0])
        whole.paste(part, (0, 0))
        return whole

    def mask(self, mask: NDArray[np.uint8], fill: int) -> NDArray[np.uint8]:
        """(H, W) class numbers on the canvas: each pixel has the class of the nearest one, and no class is invented."""
        left, top, right, bottom = self._box
        # In whole numbers, since rounding would decide where the centre of a pixel falls between two.
        rows = (2 * np.arange(top, bottom) + 1) * mask.shape[0] // (2 * self.resized[0])
        columns = (2 * np.arange(left, right) + 1) * mask.shape[1] // (2 * self.resized[1])
        whole = np.full(self.canvas, fill, np.uint8)
        whole[: bottom - top, : right - left] = mask[rows[:, None], columns]
        return whole

    @property
    def _box(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of what is cut out of the resized image."""
        top, left = self.corner
        bottom, right = (min(c + n, most) for c, n, most in zip(self.corner, self.canvas, self.resized, strict=True))
        return left, top, right, bottom
