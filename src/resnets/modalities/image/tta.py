"""Test-time augmentation: the crops of an image that a network sees, and their weights in the mean.

- "center": the prepared image: the centre crop, or the whole image where `Preprocessing.fit` says so.
- "flip": the prepared image and its mirror image.
- "shift": the prepared image, the same shifted by one pixel up and left, and down and right, and the mirror images of
  the three. Those that are not shifted weigh a quarter each, the others an eighth (Jordan 2024, 2404.00498, section
  3.5; `infer_mirror_translate` of its script).
- "ten-crop": the centre crop, those in the four corners, and the mirror images of the five (Krizhevsky et al.
  2012).
- "multi-scale": the whole image with its shorter side at each of `SHORTER_SIDES` (in proportion where that of the
  crop is not 224), and the mirror images (He et al. 2015, section 3.4). The paper averages over positions before the
  softmax; the last layer is linear, so the mean may be taken before it or after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import numpy as np
from PIL import Image

from resnets.core.errors import UsageError, unknown
from resnets.modalities.image.preprocessing import OF_THE_CENTER, Preprocessing, TestTimeAugmentation
from resnets.modalities.image.read.pillow import Pixels, to_pixels
from resnets.modalities.image.transforms.resize import center_crop, crop_at, prepare, shorter_side_to

SHORTER_SIDES = (224, 256, 384, 480, 640)  # He et al. 2015, section 3.4, for a crop of 224
SHIFT_WEIGHTS = (2, 1, 1, 2, 1, 1)


def tta_crops(
    image: Image.Image, preprocessing: Preprocessing, tta: TestTimeAugmentation, name: str = "the image"
) -> list[Pixels]:
    """The crops of `image` that a network sees, each (channels, height, width) uint8.

    Args:
        name: of the image, for messages.

    Raises:
        DataError: the image is too narrow to be resized.
        UsageError: there is no such augmentation, it is not for the `fit` of `preprocessing`, or it needs sizes that
            its mean image lacks.
    """
    p = preprocessing
    if tta in OF_THE_CENTER:
        return crops_of_center(prepare(image, p, name), tta)
    if tta not in p.tta:
        if tta not in get_args(TestTimeAugmentation):
            raise unknown("test-time augmentation", tta, p.tta)
        raise UsageError(f"tta {tta} is of centre crops, and fit={p.fit} takes the whole image: {', '.join(p.tta)}.")
    height, width = p.shape()
    if tta == "ten-crop":
        whole = shorter_side_to(image, p.resize, p, name)
        right, bottom = whole.width - width, whole.height - height
        corners = [(0, 0), (right, 0), (0, bottom), (right, bottom)]
        crops = [*(crop_at(whole, corner, p) for corner in corners), center_crop(image, p, name)]
        return _with_mirror_images([to_pixels(crop, p.color) for crop in crops])
    if p.mean_image is not None:
        raise UsageError(
            f"This network subtracts a mean image of {height} x {width}, which other sizes do not have: "
            "use --tta center, flip or ten-crop, or a network that subtracts a mean of channels."
        )
    sizes = [shorter_side_to(image, round(side * min(height, width) / 224), p, name) for side in SHORTER_SIDES]
    return _with_mirror_images([to_pixels(whole, p.color) for whole in sizes])


def crops_of_center(pixels: Pixels, tta: TestTimeAugmentation) -> list[Pixels]:
    """The crops of an augmentation in `OF_THE_CENTER`, made of the prepared image `pixels`."""
    if tta == "center":
        return [pixels]
    if tta == "flip":
        return _with_mirror_images([pixels])
    height, width = pixels.shape[1:]
    padded = np.pad(pixels, ((0, 0), (1, 1), (1, 1)), "reflect" if min(height, width) > 1 else "edge")
    shifted = [padded[:, 2:, 2:], padded[:, :height, :width]]
    return _with_mirror_images([pixels, *map(np.ascontiguousarray, shifted)])


def crop_weights(tta: TestTimeAugmentation, crops: int) -> Sequence[int]:
    """The weight of each of `crops` in the mean, in the order of `tta_crops`; they do not sum to 1."""
    return SHIFT_WEIGHTS if tta == "shift" else (1,) * crops


def _with_mirror_images(crops: Sequence[Pixels]) -> list[Pixels]:
    return [*crops, *(np.ascontiguousarray(pixels[:, :, ::-1]) for pixels in crops)]
