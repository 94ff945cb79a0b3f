"""The random ways to look at an image while training, as frozen data, read without torch.

A crop of `Crop` acts on one image as it is decoded and gives every image the same size. A view of `Transform` acts
on a whole batch, on the device. A mix of `Mix` acts on normalised batches and their labels. How each is done stands
in `augment`; the numbers it needs are drawn by `batches` from (seed, purpose, step).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from resnets.core.errors import UsageError
from resnets.core.renamed import renamed_fields
from resnets.core.typed import checked

# Where mean and std come from: as the preprocessing has them, or from the training images: a mean and a std for each
# channel, or a mean for each pixel and no division (He et al. 2015, section 4.2).
Normalize = Literal["given", "channels", "mean image"]


def _check(condition: bool, message: str) -> None:
    if not condition:
        raise UsageError(message)


@dataclass(frozen=True, kw_only=True)
@checked
class RandomResizedCrop:
    """A part of random area and shape, resized to a square (Szegedy et al. 2015, section 6).

    Args:
        scale: smallest and largest share of the image's area.
        ratio: smallest and largest width / height, drawn evenly on a log scale.
    """

    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)

    def __post_init__(self) -> None:
        _check(0 < self.scale[0] <= self.scale[1] <= 1, f"scale needs 0 < low <= high <= 1, not {self.scale}.")
        _check(0 < self.ratio[0] <= self.ratio[1], f"ratio needs 0 < low <= high, not {self.ratio}.")


@renamed_fields
@dataclass(frozen=True, kw_only=True)
@checked
class ScaledCrop:
    """The shorter side resized to a length drawn evenly, then a square at a random place (Simonyan and Zisserman 2015;
    He et al. 2015, section 3.4).

    Args:
        min_size, max_size: smallest and largest length of the shorter side, in pixels; at least the size of the crop.
    """

    min_size: int = 256
    max_size: int = 480

    def __post_init__(self) -> None:
        _check(
            1 <= self.min_size <= self.max_size <= 16384,
            f"ScaledCrop needs 1 <= min_size <= max_size, not {self.min_size}, {self.max_size}.",
        )


@dataclass(frozen=True, kw_only=True)
@checked
class ProgressiveResize:
    """Crops that grow as training goes on: most of it then costs less (progressive resizing, as in ffcv-imagenet).

    Args:
        start, stop: height and width before and after, in pixels.
        since, until: the shares of the run between which they grow, in a straight line.
        multiple: of which every size in between is one, in pixels.
    """

    start: int = 160
    stop: int = 192
    since: float = 0.74
    until: float = 0.86
    multiple: int = 32

    def __post_init__(self) -> None:
        _check(
            1 <= self.start <= self.stop <= 16384,
            f"progressive_resize needs 1 <= start <= stop, not {self.start}, {self.stop}.",
        )
        _check(
            0 <= self.since <= self.until <= 1, "progressive_resize needs 0 <= since <= until <= 1, shares of the run."
        )
        _check(self.multiple >= 1, f"multiple must be 1 or more, not {self.multiple}.")

    def at(self, share: float) -> int:
        """Height and width of the crops when `share` of the run is done, from 0 to 1."""
        if share <= self.since or share >= self.until:
            return self.start if share <= self.since else self.stop
        grown = (share - self.since) / (self.until - self.since)
        size = self.multiple * round((self.start + grown * (self.stop - self.start)) / self.multiple)
        return min(max(size, self.start), self.stop)


@dataclass(frozen=True, kw_only=True)
@checked
class PaddedCrop:
    """`padding` pixels on each side, then a random crop of the old size (He et al. 2015, section 4.2).

    Args:
        fill: with black, or with the image as a mirror at its edge would show it.
    """

    padding: int = 4
    fill: Literal["black", "reflect"] = "black"

    def __post_init__(self) -> None:
        _check(0 <= self.padding <= 16384, f"padding must be from 0 to 16384 pixels, not {self.padding}.")


@renamed_fields
@dataclass(frozen=True, kw_only=True)
@checked
class Flip:
    """Left and right swapped.

    Args:
        p: probability of each image in each epoch.
        alternating: `p` decides in the first epoch only, and from then on every image is swapped in every other
            epoch, so that two epochs show both (Jordan 2024, 2404.00498, section 3.6).
    """

    p: float = 0.5
    alternating: bool = False

    def __post_init__(self) -> None:
        _check(not self.alternating or self.p == 0.5, "an alternating flip has p=0.5.")
        _check(0 <= self.p <= 1, f"p must be in [0, 1], not {self.p}.")


@dataclass(frozen=True, kw_only=True)
@checked
class Affine:
    """Turned, moved, zoomed and sheared about the centre; what comes in from outside is black.

    Args:
        degrees: turns evenly within ± this.
        translate: moves in each direction evenly within ± this share of the side.
        zoom: sizes multiplied evenly within 1 ± this.
        shear: horizontal shear evenly within ± this many degrees.
    """

    degrees: float = 10.0
    translate: float = 0.1
    zoom: float = 0.1
    shear: float = 0.0

    def __post_init__(self) -> None:
        _check(0 <= self.zoom < 1, f"zoom must be in [0, 1), not {self.zoom}.")
        _check(0 <= self.shear < 90, f"shear must be in [0, 90), not {self.shear}.")
        _check(min(self.degrees, self.translate) >= 0, "degrees and translate must be 0 or more.")


@dataclass(frozen=True, kw_only=True)
@checked
class ColorJitter:
    """Brightness, contrast, saturation and hue changed, in this order.

    Args:
        brightness, contrast, saturation: each multiplied by a factor drawn evenly from [max(0, 1 - this), 1 + this],
            as in torchvision.
        hue: turned evenly within ± this part of the colour circle, at most 0.5.
    """

    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.4
    hue: float = 0.0

    def __post_init__(self) -> None:
        _check(min(self.brightness, self.contrast, self.saturation) >= 0, "colour changes must be 0 or more.")
        _check(0 <= self.hue <= 0.5, f"hue must be in [0, 0.5], not {self.hue}.")


@dataclass(frozen=True, kw_only=True)
@checked
class PCAColor:
    """Light along the principal components of ImageNet's colours (Krizhevsky et al. 2012, section 4.1).

    Each component is added times its eigenvalue times a normal number. Grey images stay as they are.

    Args:
        std: of the normal number.
    """

    std: float = 0.1

    def __post_init__(self) -> None:
        _check(self.std >= 0, f"std must be 0 or more, not {self.std}.")


@dataclass(frozen=True, kw_only=True)
@checked
class Cutout:
    """A square hidden under the image's mean colour (DeVries and Taylor 2017, 1708.04552, under the data's mean).

    Its centre is any pixel, so that it may reach over an edge.

    Args:
        size: of the square, in pixels.
    """

    size: int = 16

    def __post_init__(self) -> None:
        _check(self.size >= 1, f"size must be 1 or more, not {self.size}.")


@dataclass(frozen=True, kw_only=True)
@checked
class Mixup:
    """Two images blended, and their labels (Zhang et al. 2018, 1710.09412): the share is Beta(alpha, alpha)."""

    alpha: float = 0.2

    def __post_init__(self) -> None:
        _check(self.alpha > 0, f"alpha must be above 0, not {self.alpha}.")


@dataclass(frozen=True, kw_only=True)
@checked
class CutMix:
    """A rectangle of another image pasted in (Yun et al. 2019, 1905.04899): its kept share is Beta(alpha, alpha)."""

    alpha: float = 1.0

    def __post_init__(self) -> None:
        _check(self.alpha > 0, f"alpha must be above 0, not {self.alpha}.")


Crop = RandomResizedCrop | ScaledCrop
Transform = PaddedCrop | Flip | Affine | ColorJitter | PCAColor | Cutout
Mix = Mixup | CutMix


@renamed_fields
@dataclass(frozen=True, kw_only=True)
@checked
class Augmentations:
    """How training looks at images: a crop as each is decoded, then views of the whole batch, then a mix.

    Args:
        crop: without one, images are resized and cropped as in evaluation.
        progressive_resize: of what a crop gives; without it, crops are as large as in evaluation.
        transforms: done in this order.
        mix: one of these, drawn evenly for each step.
    """

    crop: Crop | None = None
    progressive_resize: ProgressiveResize | None = None
    transforms: tuple[Transform, ...] = ()
    mix: tuple[Mix, ...] = ()

    def __post_init__(self) -> None:
        _check(
            self.progressive_resize is None or self.crop is not None,
            "progressive_resize is of a crop: set augmentations.crop as well.",
        )
