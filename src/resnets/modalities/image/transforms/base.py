"""What an augmentation is: the four protocols, and the random numbers that they are given.

Every augmentation is one frozen dataclass in one file of this package: its fields are its settings, which recipes and
model files hold as JSON under the name of the class, and its `__call__` is a pure function of images and of uniform
numbers drawn beforehand. torchvision's random classes draw from torch's global generator, so they cannot serve here;
their functional forms are what the tests compare with.

To add one, write its file, and add its class to the union `Crop`, `Policy`, `Transform` or `Mix` in `augmentations.py`.

Recipes are read without torch or NumPy: modules of augmentations import them inside methods.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, Self

from resnets.core.errors import UsageError
from resnets.modalities.image.preprocessing import Color, Preprocessing
from resnets.modalities.rng import BatchRNG

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image
    from torch import Tensor

    from resnets.modalities.image.canvas import Canvas
    from resnets.modalities.image.placement import Placement

    Uniforms = NDArray[np.float32]


def require(condition: bool, message: str) -> None:
    """Raises UsageError with `message` unless `condition` holds."""
    if not condition:
        raise UsageError(message)


class RandomCrop(Protocol):
    """A random crop of one image as it is decoded, of the size that `preprocessing.shape` says."""

    numbers: ClassVar[int]  # uniform numbers for an image

    def scaled(self, was: int, now: int) -> Self:
        """The crop for inputs whose shorter side has `now` pixels in place of `was`."""
        return self

    def __call__(self, image: Image.Image, u: Uniforms, preprocessing: Preprocessing) -> Image.Image:
        """A crop of the input's height and width, resized with the filter that evaluation uses.

        Args:
            u: (numbers,) uniform numbers in [0, 1).

        Raises:
            DataError: the image is too narrow to be resized.
        """
        ...

    def takes_pixels(self, preprocessing: Preprocessing) -> bool:
        """Whether `crop_pixels` can make the crops that `preprocessing` asks for."""
        return False

    def crop_pixels(self, pixels_CHW: Tensor, u: Uniforms, preprocessing: Preprocessing) -> Tensor:  # noqa: N803
        """As `__call__`, of a decoded (3, height, width) uint8 tensor."""
        raise TypeError(f"{type(self).__name__} takes images of Pillow only.")


class CanvasCrop(Protocol):
    """A random place of one image on a canvas, with what lies on it, as it is decoded."""

    numbers: ClassVar[int]  # uniform numbers for an image

    def with_size(self, was: int, now: int) -> Self:
        """The crop for inputs whose shorter side has `now` pixels in place of `was`."""
        return self

    def with_range(self, least: int, most: int) -> Self:
        """The crop that draws the length of an image's shorter side from `least` to `most` pixels, where images are
        evaluated at `most`.

        Raises:
            UsageError: it draws no lengths.
        """
        ...

    def place(self, u: Uniforms, size: tuple[int, int], settings: Canvas, canvas: tuple[int, int]) -> Placement:
        """Where an image comes to lie.

        Args:
            u: (numbers,) uniform numbers in [0, 1).
            size: height and width of the upright image.
            canvas: height and width of the result.
        """
        ...

    def cut(
        self, resized: tuple[int, int], u: Sequence[float] | Uniforms, settings: Canvas, canvas: tuple[int, int]
    ) -> Placement:
        """The crop of `canvas` out of a resized image at the place that two uniform numbers pick, row and column."""
        from resnets.modalities.image.placement import Placement

        top, left = (int(float(n) * (max(0, most - own) + 1)) for n, most, own in zip(u, resized, canvas, strict=True))
        return Placement(resized, (top, left), canvas, settings.offset(resized, canvas))


class ImagePolicy(Protocol):
    """Random operations on one image, after its crop, by the thread that decodes it."""

    fill: tuple[int, int, int]  # red, green and blue of what geometric operations leave empty

    def __post_init__(self) -> None:
        require(
            len(self.fill) == 3 and all(0 <= level <= 255 for level in self.fill),
            f"fill takes red, green and blue from 0 to 255, not {self.fill}.",
        )

    @property
    def numbers(self) -> int:
        """Uniform numbers for an image."""
        ...

    def __call__(self, image: Image.Image, u: Uniforms) -> Image.Image:
        """The changed image, of the same size.

        Args:
            image: of mode "RGB" or "L".
            u: (numbers,) uniform numbers in [0, 1).
        """
        ...


def pick(u: np.float32, count: int) -> int:
    """The choice from 0 to `count` - 1 that a uniform number in [0, 1) makes."""
    return int(float(u) * count)


class BatchTransform(Protocol):
    """A random change of a batch of images of one size, on the device."""

    numbers: ClassVar[int]  # uniform numbers for an image

    def __call__(self, images_NCHW: Tensor, u: Tensor, color: Color = "RGB") -> Tensor:  # noqa: N803
        """The changed images: uint8 from 0 to 255, or float32 from 0 to 1.

        Args:
            images_NCHW: uint8 from 0 to 255, or float32 from 0 to 1.
            u: (N, numbers) uniform numbers in [0, 1).
            color: the order of the channels.
        """
        ...

    def scaled(self, was: int, now: int) -> Self:
        """The transform for images whose shorter side has `now` pixels in place of `was`."""
        return self

    def check_side(self, side: int) -> None:
        """Raises UsageError if images whose shorter side has `side` pixels are too small for it."""
        return

    def draw(self, rng: BatchRNG, purpose: str) -> Tensor:
        """(N, numbers) uniform numbers for `__call__`."""
        return rng.uniforms(purpose, self.numbers)


class MixTransform(Protocol):
    """Each image of a normalised batch mixed with another of the batch, and their labels with it."""

    numbers: ClassVar[int]  # uniform numbers for an image
    alpha: float  # of Beta(alpha, alpha)
    per: Literal["sample", "batch"]  # what is drawn anew for

    def __post_init__(self) -> None:
        require(self.alpha > 0, f"alpha must be above 0, not {self.alpha}.")

    def sample_lam(self, generator: np.random.Generator, count: int) -> NDArray[np.float32]:
        """(count,) weights of the images' own labels, from 0 to 1, drawn from Beta(alpha, alpha)."""
        drawn = generator.beta(self.alpha, self.alpha, count if self.per == "sample" else 1)
        return (drawn if self.per == "sample" else drawn.repeat(count)).astype("float32")

    def draw(self, rng: BatchRNG, purpose: str) -> Tensor:
        """(N, numbers) uniform numbers for `__call__`."""
        if self.per == "sample":
            return rng.uniforms(purpose, self.numbers)
        return rng.own_rows(rng.generator(purpose).random((1, self.numbers), "float32").repeat(rng.batch, 0))

    def __call__(
        self, images_NCHW: Tensor, partners: Tensor, lam: Tensor, u: Tensor  # noqa: N803
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """The mixed images, and (N,) the weight of each one's own label (for CutMix, after rounding to pixels).

        Args:
            images_NCHW: float32, normalised.
            partners: (N,) the row that each image is mixed with.
            lam: (N,) the weight of the image itself, from `sample_lam`.
            u: (N, numbers) uniform numbers in [0, 1).
        """
        ...
