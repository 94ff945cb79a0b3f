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
    """The whole image resized; from `corner` on, what fits is cut out and lies on the canvas from `offset` on.

    Args:
        resized: height and width of the whole image after resizing.
        corner: row and column of the resized image that come to `offset`.
        canvas: height and width of the result. What the image does not cover is filled.
        offset: row and column of the canvas.
    """

    resized: Size
    corner: Size
    canvas: Size
    offset: Size = (0, 0)

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
        part = resize(image, (width, height), how, antialias=antialias).crop(self._cut)
        if part.size == (self.canvas[1], self.canvas[0]):
            return part
        whole = Image.new(image.mode, (self.canvas[1], self.canvas[0]), fill if len(fill) > 1 else fill[0])
        whole.paste(part, self.offset[::-1])
        return whole

    def mask(self, mask: NDArray[np.uint8], fill: int) -> NDArray[np.uint8]:
        """(..., H, W) class numbers on the canvas: each pixel has the class of the nearest one, and no class is
        invented."""
        left, top, right, bottom = self._cut
        # In whole numbers, since rounding would decide where the centre of a pixel falls between two.
        rows = (2 * np.arange(top, bottom) + 1) * mask.shape[-2] // (2 * self.resized[0])
        columns = (2 * np.arange(left, right) + 1) * mask.shape[-1] // (2 * self.resized[1])
        whole = np.full((*mask.shape[:-2], *self.canvas), fill, np.uint8)
        row, column = self.offset
        whole[..., row : row + bottom - top, column : column + right - left] = mask[..., rows[:, None], columns]
        return whole

    def boxes(self, boxes: NDArray[np.float64], size: Size) -> NDArray[np.float64]:
        """(n, 4) left, top, right and bottom on the canvas of boxes of an image of `size`, cut at the border of what
        the canvas shows of it: a box that it does not show has no area."""
        scale = np.array([self.resized[1] / size[1], self.resized[0] / size[0]] * 2)
        moved = np.array([self.offset[1] - self.corner[1], self.offset[0] - self.corner[0]] * 2)
        left, top, right, bottom = self.region
        return np.asarray(np.clip(boxes * scale + moved, [left, top] * 2, [right, bottom] * 2))

    @property
    def region(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of the part of the canvas that shows the image."""
        left, top, right, bottom = self._cut
        row, column = self.offset
        return column, row, column + right - left, row + bottom - top

    @property
    def _cut(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of what is cut out of the resized image."""
        top, left = self.corner
        room = (n - start for n, start in zip(self.canvas, self.offset, strict=True))
        bottom, right = (min(c + n, most) for c, n, most in zip(self.corner, room, self.resized, strict=True))
        return left, top, right, bottom
