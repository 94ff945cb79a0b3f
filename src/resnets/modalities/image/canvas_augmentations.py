"""The augmentations of images on canvases: what moves an image moves its mask, or its boxes, with it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from resnets.core.config import OMITTED_BY_DEFAULT, UNTAGGED_FIRST
from resnets.core.errors import UsageError
from resnets.core.typed import checked
from resnets.modalities.image.canvas import Canvas
from resnets.modalities.image.preprocessing import Color
from resnets.modalities.image.transforms import (
    Affine,
    ColorJitter,
    Cutout,
    Flip,
    Grayscale,
    Mix,
    PaddedCrop,
    PCAColor,
)
from resnets.modalities.image.transforms.base import require
from resnets.modalities.image.transforms.copy_paste import CopyPaste
from resnets.modalities.image.transforms.random_scale_crop import RandomScaleCrop
from resnets.modalities.image.transforms.random_shortest_size import RandomShortestSize
from resnets.modalities.image.transforms.scale_jitter import ScaleJitter
from resnets.modalities.rng import BatchRNG

if TYPE_CHECKING:
    from resnets.modalities.batch import Batch
    from resnets.modalities.image.canvas_targets import CanvasTargets

# JSON names each by its class; recipes without a kind have the first.
Place = RandomScaleCrop | RandomShortestSize | ScaleJitter
CanvasTransform = Flip | ColorJitter | PCAColor | Grayscale | PaddedCrop | Affine | Cutout
_REFUSED = {
    "PaddedCrop": "it moves the image and leaves the mask where it is: augmentations.crop moves both",
    "Affine": "it moves the image and leaves the mask where it is: augmentations.crop and Flip move both",
    "Cutout": "it hides pixels whose classes the network would still have to name",
    "Mixup": "a pixel of two images has two classes",
    "CutMix": "it mixes whole labels by their share of the image",
}


@dataclass(frozen=True, kw_only=True)
@checked
class CanvasAugmentations:
    """Random changes of training images with masks or boxes: the place of each on its canvas as it is decoded, then
    transforms of the batch.

    Args:
        crop: random scale and place.
        transforms: applied in this order, before images are normalised. Flips move what lies on the images too; changes
            of colour leave it alone; others are refused.
        copy_paste: of objects with masks, after `transforms`.
        mix: refused, as it is for images with one label.

    Raises:
        UsageError: a transform that cannot move masks, or a mix.
    """

    crop: Place = field(default_factory=RandomScaleCrop, metadata=UNTAGGED_FIRST)
    transforms: tuple[CanvasTransform, ...] = ()
    copy_paste: CopyPaste | None = field(default=None, metadata=OMITTED_BY_DEFAULT)
    mix: tuple[Mix, ...] = field(default=(), metadata=OMITTED_BY_DEFAULT)

    def __post_init__(self) -> None:
        for transform in (*self.transforms, *self.mix):
            name = type(transform).__name__
            require(name not in _REFUSED, f"{name} cannot be used with masks, since {_REFUSED.get(name)}.")

    @property
    def holds(self) -> bool:
        return False

    @property
    def decodes_jpeg(self) -> bool:
        return False

    @property
    def largest_size(self) -> int | None:
        return None

    def size_at(self, share: float) -> int | None:
        return None

    def with_size(self, was: int, now: int) -> CanvasAugmentations:
        return replace(self, crop=self.crop.with_size(was, now))

    def with_range(self, least: int, most: int) -> CanvasAugmentations:
        return replace(self, crop=self.crop.with_range(least, most))

    def check(self, settings: Any, *, least: int, normalize: str, tta: str) -> None:
        """As `InputAugmentations.check`."""
        if not isinstance(settings, Canvas):
            raise UsageError(
                f"augmentations of images with masks do not fit an input of {type(settings).__name__}: "
                "give preprocessing=Canvas."
            )
        require(
            min(settings.crop) >= least,
            f"A crop of {min(settings.crop)} px is too small for this model; the minimum is {least} px.",
        )
        require(
            self.copy_paste is None or settings.targets == "instances",
            "copy_paste needs masks of objects: give preprocessing.targets=instances.",
        )
        require(normalize == "given", f"normalize={normalize} is not for images of any size: give normalize=given.")
        require(tta in Canvas.tta, f"tta={tta} is not for masks: choose from {', '.join(Canvas.tta)}.")

    def apply_to_batch(self, batch: Batch, targets: CanvasTargets, rng: BatchRNG, color: Color = "RGB") -> Batch:
        """Images ("inputs", uint8 from 0 to 255) and what lies on them after all `transforms`, which move both alike.

        Args:
            color: the order of the channels.
        """
        for number, transform in enumerate(self.transforms):
            u = transform.draw(rng, f"transform {number} {type(transform).__name__}")
            if isinstance(transform, Flip):
                batch = targets.mirror(batch, transform.flipped(u))
            batch = batch | {"inputs": transform(batch["inputs"], u, color)}
        if self.copy_paste is None:
            return batch
        partners = rng.partner_rows(rng.generator("copy-paste partners"))
        return self.copy_paste(batch, partners, rng.uniforms("copy-paste", self.copy_paste.numbers))
