"""AutoAugment with the policy that was found on ImageNet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from resnets.core.typed import checked
from resnets.modalities.image.transforms.base import ImagePolicy, pick
from resnets.modalities.image.transforms.magnitudes import USUAL
from resnets.modalities.image.transforms.operations import Fill, Filter, Operation, apply

if TYPE_CHECKING:
    from PIL import Image

    from resnets.modalities.image.transforms.base import Uniforms

_BINS = 10
# Pairs of operation, probability and magnitude from 0 to 9: Cubuk et al. 2019 (1805.09501), table 9.
Step = tuple[Operation, float, int]
IMAGENET: tuple[tuple[Step, Step], ...] = (
    (("posterize", 0.4, 8), ("rotate", 0.6, 9)),
    (("solarize", 0.6, 5), ("auto_contrast", 0.6, 5)),
    (("equalize", 0.8, 8), ("equalize", 0.6, 3)),
    (("posterize", 0.6, 7), ("posterize", 0.6, 6)),
    (("equalize", 0.4, 7), ("solarize", 0.2, 4)),
    (("equalize", 0.4, 4), ("rotate", 0.8, 8)),
    (("solarize", 0.6, 3), ("equalize", 0.6, 7)),
    (("posterize", 0.8, 5), ("equalize", 1.0, 2)),
    (("rotate", 0.2, 3), ("solarize", 0.6, 8)),
    (("equalize", 0.6, 8), ("posterize", 0.4, 6)),
    (("rotate", 0.8, 8), ("color", 0.4, 0)),
    (("rotate", 0.4, 9), ("equalize", 0.6, 2)),
    (("equalize", 0.0, 7), ("equalize", 0.8, 8)),
    (("invert", 0.6, 4), ("equalize", 1.0, 8)),
    (("color", 0.6, 4), ("contrast", 1.0, 8)),
    (("rotate", 0.8, 8), ("color", 1.0, 2)),
    (("color", 0.8, 8), ("solarize", 0.8, 7)),
    (("sharpness", 0.4, 7), ("invert", 0.6, 8)),
    (("shear_x", 0.6, 5), ("equalize", 1.0, 9)),
    (("color", 0.4, 0), ("equalize", 0.6, 3)),
    (("equalize", 0.4, 7), ("solarize", 0.2, 4)),
    (("solarize", 0.6, 5), ("auto_contrast", 0.6, 5)),
    (("invert", 0.6, 4), ("equalize", 1.0, 8)),
    (("color", 0.6, 4), ("contrast", 1.0, 8)),
    (("equalize", 0.8, 8), ("equalize", 0.6, 3)),
)


@dataclass(frozen=True, kw_only=True)
@checked
class AutoAugment(ImagePolicy):
    """One of 25 pairs of operations on each image, each applied with its own probability (Cubuk et al. 2019,
    1805.09501, table 9, found on ImageNet), with the magnitudes of torchvision's `AutoAugment`.

    Args:
        interpolation: of rotations, shears and translations.
        fill: red, green and blue, from 0 to 255, of what they leave empty.
    """

    interpolation: Filter = "bilinear"
    fill: Fill = (0, 0, 0)

    @property
    def numbers(self) -> int:
        return 5  # the pair, then of each operation whether it is applied and its sign

    def __call__(self, image: Image.Image, u: Uniforms) -> Image.Image:
        for place, (operation, p, magnitude) in enumerate(IMAGENET[pick(u[0], len(IMAGENET))]):
            if u[1 + 2 * place] >= p:
                continue
            negative = bool(u[2 + 2 * place] >= 0.5)
            argument = USUAL.argument(operation, magnitude, _BINS, negative, image.size)
            image = apply(image, operation, argument, interpolation=self.interpolation, fill=self.fill)
        return image
