"""The augmentations of a run, in the order in which they are applied."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from resnets.core.config import OMITTED_BY_DEFAULT
from resnets.core.errors import UsageError
from resnets.core.renamed import renamed_fields
from resnets.core.typed import checked
from resnets.modalities.image.preprocessing import Color, Preprocessing
from resnets.modalities.image.transforms.affine import Affine
from resnets.modalities.image.transforms.auto_augment import AutoAugment
from resnets.modalities.image.transforms.base import require
from resnets.modalities.image.transforms.color_jitter import ColorJitter
from resnets.modalities.image.transforms.cutmix import CutMix
from resnets.modalities.image.transforms.cutout import Cutout
from resnets.modalities.image.transforms.flip import Flip
from resnets.modalities.image.transforms.gaussian_blur import GaussianBlur
from resnets.modalities.image.transforms.grayscale import Grayscale
from resnets.modalities.image.transforms.mixup import Mixup
from resnets.modalities.image.transforms.padded_crop import PaddedCrop
from resnets.modalities.image.transforms.pca_color import PCAColor
from resnets.modalities.image.transforms.progressive_resize import ProgressiveResize
from resnets.modalities.image.transforms.rand_augment import RandAugment
from resnets.modalities.image.transforms.random_erasing import RandomErasing
from resnets.modalities.image.transforms.random_resized_crop import RandomResizedCrop
from resnets.modalities.image.transforms.scaled_crop import ScaledCrop
from resnets.modalities.image.transforms.trivial_augment import TrivialAugmentWide
from resnets.modalities.rng import BatchRNG

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

# JSON names each augmentation by its class.
Crop = RandomResizedCrop | ScaledCrop
Policy = RandAugment | TrivialAugmentWide | AutoAugment
Transform = PaddedCrop | Flip | Affine | ColorJitter | PCAColor | Cutout | Grayscale | GaussianBlur
Mix = Mixup | CutMix


@renamed_fields
@dataclass(frozen=True, kw_only=True)
@checked
class Augmentations:
    """Random changes of the training images: a crop and a policy as each is decoded, transforms of the batch, a mix.

    Args:
        crop: without one, images are resized and cropped as in evaluation.
        progressive_resize: sizes of the crops; without it, they are as large as in evaluation.
        auto_augment: a policy of operations on each image after its crop, before `transforms`, on the CPU by Pillow.
        transforms: applied in this order, before images are normalised.
        mix: one of these, drawn evenly for each step, applied after images are normalised.
        erasing: of a rectangle, after images are normalised and before they are mixed.
    """

    crop: Crop | None = None
    progressive_resize: ProgressiveResize | None = None
    transforms: tuple[Transform, ...] = ()
    mix: tuple[Mix, ...] = ()
    auto_augment: Policy | None = field(default=None, metadata=OMITTED_BY_DEFAULT)
    erasing: RandomErasing | None = field(default=None, metadata=OMITTED_BY_DEFAULT)

    def __post_init__(self) -> None:
        require(
            self.progressive_resize is None or self.crop is not None,
            "progressive_resize is of a crop: set augmentations.crop as well.",
        )

    @property
    def holds(self) -> bool:
        return self.crop is None and self.auto_augment is None

    @property
    def decodes_jpeg(self) -> bool:
        return self.crop is not None

    @property
    def largest_size(self) -> int | None:
        return self.progressive_resize.stop if self.progressive_resize else None

    def size_at(self, share: float) -> int | None:
        return self.progressive_resize.at(share) if self.progressive_resize else None

    def with_range(self, least: int, most: int) -> Augmentations:
        """As `InputAugmentations.with_range`."""
        raise UsageError(
            f"size {least}-{most} is a range, and inputs have one size here: give one number or WIDTHxHEIGHT. Crops "
            "that grow while training are augmentations.progressive_resize."
        )

    def with_size(self, was: int, now: int) -> Augmentations:
        """As `InputAugmentations.with_size`."""
        if was == now:
            return self
        return replace(
            self,
            crop=self.crop and self.crop.scaled(was, now),
            progressive_resize=self.progressive_resize and self.progressive_resize.scaled(was, now),
            transforms=tuple(transform.scaled(was, now) for transform in self.transforms),
        )

    def check(self, settings: Any, *, least: int, normalize: str, tta: str) -> None:
        """As `InputAugmentations.check`."""
        require(
            isinstance(settings, Preprocessing),
            f"augmentations of images of one size do not fit an input of {type(settings).__name__}.",
        )
        one_size = normalize == "mean image" or settings.mean_image is not None
        for setting, used in (
            ("augmentations.progressive_resize", self.progressive_resize is not None),
            ("tta=multi-scale", tta == "multi-scale"),
        ):
            require(
                not (one_size and used),
                f"A mean image has one size, and {setting} needs several: give normalize=channels.",
            )
        shorter = min(settings.shape())
        largest = self.largest_size or shorter
        if isinstance(self.crop, ScaledCrop):
            require(
                self.crop.min_size >= largest,
                f"min_size {self.crop.min_size} must be at least the crop of {largest} pixels.",
            )
        smallest = self.progressive_resize.start if self.progressive_resize else shorter
        reached = min(smallest, shorter)
        require(reached >= least, f"An input of {reached} px is too small for this model; the minimum is {least} px.")
        for transform in self.transforms:
            transform.check_side(smallest)

    def decoding_numbers(self, rng: BatchRNG) -> NDArray[np.float32]:
        """(batch, numbers) uniform numbers in [0, 1) of the global batch: of the crop, then of `auto_augment`."""
        import numpy as np

        # The text "crop" is part of the data format: another one gives other batches.
        drawn = [rng.generator("crop").random((rng.batch, self.crop.numbers if self.crop else 0), np.float32)]
        if (policy := self.auto_augment) is not None:
            generator = rng.generator(f"auto augment {type(policy).__name__}")
            drawn.append(generator.random((rng.batch, policy.numbers), np.float32))
        return drawn[0] if len(drawn) == 1 else np.concatenate(drawn, 1)

    def apply_to_batch(self, images_NCHW: Tensor, rng: BatchRNG, color: Color = "RGB") -> Tensor:  # noqa: N803
        """`images_NCHW` (uint8 from 0 to 255) after all `transforms`: uint8, or float32 from 0 to 1.

        Args:
            color: the order of the channels.
        """
        for number, transform in enumerate(self.transforms):
            images_NCHW = transform(images_NCHW, transform.draw(rng, _purpose(number, transform)), color)  # noqa: N806
        return images_NCHW

    def only_flips(self) -> bool:
        """Whether all `transforms` are flips, which can be done as each image is decoded."""
        return all(isinstance(transform, Flip) for transform in self.transforms)

    def flipped(self, rng: BatchRNG) -> NDArray[np.bool_]:
        """(N,) which images the `transforms`, all of them flips, leave flipped."""
        import numpy as np

        flipped = np.zeros(rng.count, np.bool_)
        for number, transform in enumerate(self.transforms):
            assert isinstance(transform, Flip)
            flipped ^= transform.draw(rng, _purpose(number, transform))[:, 0].numpy() < transform.p
        return flipped

    def erase(self, images_NCHW: Tensor, rng: BatchRNG) -> Tensor:  # noqa: N803
        """`images_NCHW` (float32, normalised) after `erasing`."""
        if self.erasing is None:
            return images_NCHW
        return self.erasing(images_NCHW, self.erasing.draw(rng), self.erasing.draw_noise(rng, images_NCHW))

    def mix_batch(self, images_NCHW: Tensor, rng: BatchRNG) -> tuple[Tensor, Tensor, Tensor]:  # noqa: N803
        """`images_NCHW` (float32, normalised) mixed by one of `mix`.

        Returns:
            The images; (N,) `partners`, the row that each is mixed with; and (N,) `lam`, the weight of its own label.
        """
        generator = rng.generator("mix")
        mix = self.mix[int(generator.integers(len(self.mix)))]
        lam = rng.own_rows(mix.sample_lam(generator, rng.batch))
        partners = rng.partners(generator)
        images, lam = mix(images_NCHW, partners, lam, mix.draw(rng, "mix place"))
        return images, partners, lam


def _purpose(number: int, transform: Transform) -> str:
    """What the numbers of the transform at place `number` are for; part of the data format, so it never changes."""
    return f"view {number} {type(transform).__name__}"
