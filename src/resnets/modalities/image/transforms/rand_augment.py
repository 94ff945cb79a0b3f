"""RandAugment, as torchvision and as timm have it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from resnets.core.typed import checked
from resnets.modalities.image.transforms.base import ImagePolicy, pick, require
from resnets.modalities.image.transforms.magnitudes import USUAL
from resnets.modalities.image.transforms.operations import Fill, Filter, Operation, apply

if TYPE_CHECKING:
    from PIL import Image

    from resnets.modalities.image.transforms.base import Uniforms

Scale = Literal["torchvision", "timm", "timm-increasing"]

_COMMON: tuple[Operation, ...] = (
    "rotate", "posterize", "solarize", "color", "contrast", "brightness", "sharpness", "shear_x", "shear_y",
    "translate_x", "translate_y", "auto_contrast", "equalize",
)  # fmt: skip
OPERATIONS: dict[Scale, tuple[Operation, ...]] = {
    "torchvision": (*_COMMON, "identity"),
    "timm": (*_COMMON, "invert", "solarize_add"),
    "timm-increasing": (*_COMMON, "invert", "solarize_add"),
}
LARGEST: dict[Scale, int] = {"torchvision": 30, "timm": 10, "timm-increasing": 10}
_NUMBERS_A_LAYER = 5  # operation, whether it is applied, noise of the magnitude, sign, filter


@dataclass(frozen=True, kw_only=True)
@checked
class RandAugment(ImagePolicy):
    """Random operations on each image, one after another (Cubuk et al. 2020, 1909.13719).

    The defaults are those of torchvision's `RandAugment`, but for its filter. timm's `rand-m7-mstd0.5-inc1` is
    `RandAugment(scale="timm-increasing", magnitude=7, std=0.5, p=0.5, interpolation="random", fill=(124, 116, 104))`.

    Args:
        layers: operations on each image, drawn evenly, one of them possibly twice.
        magnitude: of all of them, from 0 to 30 for torchvision's and from 0 to 10 for timm's.
        std: of normal noise that is added to the magnitude of each operation, kept within that range.
        p: probability that a drawn operation is applied.
        scale: which operations there are, and what a magnitude means for each: torchvision's fourteen; timm's fifteen
            ("timm", where some get weaker with the magnitude); or these with changes that all grow with it
            ("timm-increasing", its `inc1`).
        interpolation: of rotations, shears and translations; "random" is bilinear or bicubic for each.
        fill: red, green and blue, from 0 to 255, of what they leave empty.
    """

    layers: int = 2
    magnitude: float = 9.0
    std: float = 0.0
    p: float = 1.0
    scale: Scale = "torchvision"
    interpolation: Filter | Literal["random"] = "bilinear"
    fill: Fill = (0, 0, 0)

    def __post_init__(self) -> None:
        require(1 <= self.layers <= 100, f"layers must be from 1 to 100, not {self.layers}.")
        largest = LARGEST[self.scale]
        require(
            0 <= self.magnitude <= largest,
            f"magnitude must be from 0 to {largest} with scale={self.scale}, not {self.magnitude:g}.",
        )
        require(self.std >= 0, f"std must be 0 or more, not {self.std:g}.")
        require(0 <= self.p <= 1, f"p must be in [0, 1], not {self.p:g}.")
        super().__post_init__()

    @property
    def numbers(self) -> int:
        return _NUMBERS_A_LAYER * self.layers

    def __call__(self, image: Image.Image, u: Uniforms) -> Image.Image:
        for layer in u.reshape(self.layers, _NUMBERS_A_LAYER):
            if layer[1] >= self.p:
                continue
            names = OPERATIONS[self.scale]
            operation, magnitude = names[pick(layer[0], len(names))], self._magnitude(float(layer[2]))
            argument = self.argument(operation, magnitude, bool(layer[3] >= 0.5), image.size)
            how = self.interpolation
            if how == "random":
                how = "bilinear" if layer[4] < 0.5 else "bicubic"
            image = apply(image, operation, argument, interpolation=how, fill=self.fill)
        return image

    def _magnitude(self, u: float) -> float:
        from statistics import NormalDist

        if not self.std:
            return self.magnitude
        noise = NormalDist().inv_cdf(min(max(u, 1e-7), 1 - 1e-7))
        return min(max(0.0, self.magnitude + noise * self.std), LARGEST[self.scale])

    def argument(self, operation: Operation, magnitude: float, negative: bool, size: tuple[int, int]) -> float:
        """What `operations.apply` is given.

        Args:
            negative: the direction of an operation that has two.
            size: width and height of the image.
        """
        largest = LARGEST[self.scale]
        if self.scale == "torchvision":
            return USUAL.argument(operation, magnitude, largest + 1, negative, size)
        share = magnitude / largest
        return _timm_argument(operation, share, negative, size, increasing=self.scale == "timm-increasing")


def _timm_argument(
    operation: Operation, share: float, negative: bool, size: tuple[int, int], *, increasing: bool
) -> float:
    """`RandAugment.argument` on timm's scales, at a `share` of the largest magnitude (timm.data.auto_augment)."""
    signed = -share if negative else share
    match operation:
        case "rotate":
            return signed * 30
        case "shear_x" | "shear_y":
            return signed * 0.3
        case "translate_x" | "translate_y":
            return signed * 0.45 * (size[0] if operation == "translate_x" else size[1])
        case "color" | "contrast" | "brightness" | "sharpness":
            return max(0.1, 1 + signed * 0.9) if increasing else share * 1.8 + 0.1
        case "posterize":
            return 4 - int(share * 4) if increasing else int(share * 4)
        case "solarize":
            level = min(256, int(share * 256))
            return 256 - level if increasing else level
        case "solarize_add":
            return min(128, int(share * 110))
        case _:
            return 0.0
