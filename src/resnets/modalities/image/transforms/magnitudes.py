"""How strong an operation is at a magnitude, as torchvision's AutoAugment, RandAugment and TrivialAugment have it."""

from __future__ import annotations

from dataclasses import dataclass

from resnets.modalities.image.transforms.operations import Operation

SIGNED: frozenset[Operation] = frozenset(
    {"shear_x", "shear_y", "translate_x", "translate_y", "rotate", "brightness", "color", "contrast", "sharpness"}
)


@dataclass(frozen=True)
class Magnitudes:
    """The largest change by each kind of operation; smaller ones are spaced evenly from no change up to it.

    Args:
        shear: slope.
        translate: fraction of the side where it is below 1, else pixels.
        degrees: of rotation.
        factor: of brightness, colour, contrast and sharpness: the distance from 1.
        bits: that "posterize" takes away.
    """

    shear: float
    translate: float
    degrees: float
    factor: float
    bits: int

    def argument(
        self, operation: Operation, magnitude: float, bins: int, negative: bool, size: tuple[int, int]
    ) -> float:
        """What `operations.apply` is given.

        Args:
            magnitude: from 0, no change, to `bins` - 1, the largest.
            negative: the direction of an operation that has two.
            size: width and height of the image.
        """
        sign = -1 if negative else 1
        match operation:
            case "shear_x" | "shear_y":
                return sign * _spaced(self.shear, magnitude, bins)
            case "translate_x" | "translate_y":
                side = size[0] if operation == "translate_x" else size[1]
                pixels = self.translate * side if self.translate < 1 else self.translate
                return int(sign * _spaced(pixels, magnitude, bins))
            case "rotate":
                return sign * _spaced(self.degrees, magnitude, bins)
            case "brightness" | "color" | "contrast" | "sharpness":
                return 1 + sign * _spaced(self.factor, magnitude, bins)
            case "posterize":
                return 8 - round(magnitude / ((bins - 1) / self.bits))
            case "solarize":
                return _spaced(255, bins - 1 - magnitude, bins)
            case _:
                return 0.0


def _spaced(largest: float, magnitude: float, bins: int) -> float:
    """The place `magnitude` of `bins` evenly spaced numbers from 0 to `largest`, to the bit as `torch.linspace` (where
    a processor multiplies and adds with one rounding), since a last bit may decide over a pixel or a grey level."""
    import numpy as np

    high = np.float32(largest)
    step = float(high / np.float32(bins - 1))
    from_end = bins - 1 - magnitude
    return float(np.float32(step * magnitude if magnitude < bins // 2 else float(high) - step * from_end))


# torchvision's for RandAugment and AutoAugment, from the latter's paper (Cubuk et al. 2019, 1805.09501, table 6),
# whose images were 331 px wide.
USUAL = Magnitudes(shear=0.3, translate=150 / 331, degrees=30, factor=0.9, bits=4)
WIDE = Magnitudes(shear=0.99, translate=32, degrees=135, factor=0.99, bits=6)
