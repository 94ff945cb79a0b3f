"""The operations of AutoAugment, RandAugment and TrivialAugment on one image, by Pillow.

timm and torchvision (on images of Pillow, as its reference scripts decode them) call the same functions of Pillow, so
equal arguments give equal pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from PIL import Image

Operation = Literal[
    "identity", "shear_x", "shear_y", "translate_x", "translate_y", "rotate", "brightness", "color", "contrast",
    "sharpness", "posterize", "solarize", "solarize_add", "auto_contrast", "equalize", "invert",
]  # fmt: skip
OPERATIONS: tuple[Operation, ...] = get_args(Operation)
GEOMETRIC: frozenset[Operation] = frozenset({"shear_x", "shear_y", "translate_x", "translate_y", "rotate"})
Filter = Literal["nearest", "bilinear", "bicubic"]
Fill = tuple[int, int, int]  # red, green and blue from 0 to 255


def apply(
    image: Image.Image, operation: Operation, argument: float, *, interpolation: Filter, fill: Fill
) -> Image.Image:
    """The changed image.

    Args:
        image: of mode "RGB" or "L".
        argument: of "shear_x" and "shear_y" the slope; of "translate_x" and "translate_y" pixels to the right or
            downwards; of "rotate" degrees counter-clockwise; of "brightness", "color", "contrast" and "sharpness" a
            factor, 1 being no change; of "posterize" the bits that are kept, 0 to 8; of "solarize" the level from
            which values are inverted; of "solarize_add" what is added to values below 128. Others have none.
        interpolation: of the geometric operations.
        fill: what they leave empty; grey images get its luma.
    """
    from PIL import ImageEnhance, ImageOps

    if operation in GEOMETRIC:
        return _geometric(image, operation, argument, interpolation, fill)
    match operation:
        case "brightness":
            return ImageEnhance.Brightness(image).enhance(argument)
        case "color":
            return ImageEnhance.Color(image).enhance(argument)
        case "contrast":
            return ImageEnhance.Contrast(image).enhance(argument)
        case "sharpness":
            return ImageEnhance.Sharpness(image).enhance(argument)
        case "posterize":
            if argument >= 1:
                return image if argument >= 8 else ImageOps.posterize(image, int(argument))
            return image.point([0] * 256 * len(image.getbands()))  # which Pillow refuses since version 13
        case "solarize":
            return ImageOps.solarize(image, argument)  # type: ignore[arg-type]  # the threshold may lie between levels
        case "solarize_add":
            table = [min(255, level + int(argument)) if level < 128 else level for level in range(256)]
            return image.point(table * len(image.getbands()))
        case "auto_contrast":
            return ImageOps.autocontrast(image)
        case "equalize":
            return ImageOps.equalize(image)
        case "invert":
            return ImageOps.invert(image)
        case _:
            return image


def _geometric(
    image: Image.Image, operation: Operation, argument: float, interpolation: Filter, fill: Fill
) -> Image.Image:
    from PIL import Image

    how = getattr(Image.Resampling, interpolation.upper())
    color = fill if image.mode == "RGB" else round(0.299 * fill[0] + 0.587 * fill[1] + 0.114 * fill[2])
    if operation == "rotate":
        return image.rotate(argument, resample=how, fillcolor=color)
    # From a place in the result to the place in the image: x = a x' + b y' + c, y = d x' + e y' + f.
    matrix = {
        "shear_x": (1, argument, 0, 0, 1, 0),
        "shear_y": (1, 0, 0, argument, 1, 0),
        "translate_x": (1, 0, -argument, 0, 1, 0),
        "translate_y": (1, 0, 0, 0, 1, -argument),
    }[operation]
    return image.transform(image.size, Image.Transform.AFFINE, matrix, resample=how, fillcolor=color)
