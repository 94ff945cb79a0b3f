"""Random brightness, contrast, saturation and hue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from resnets.core.typed import checked
from resnets.modalities.image.preprocessing import Color
from resnets.modalities.image.transforms.base import BatchTransform, require

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
@checked
class ColorJitter(BatchTransform):
    """Random brightness, contrast, saturation and hue, in this order. Grey images keep saturation and hue.

    Args:
        brightness, contrast, saturation: each multiplied by a factor drawn evenly from [max(0, 1 - this), 1 + this],
            as in torchvision.
        hue: shifted evenly within ± this fraction of the colour circle, at most 0.5.
    """

    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.4
    hue: float = 0.0

    numbers: ClassVar[int] = 4  # brightness, contrast, saturation, hue

    def __post_init__(self) -> None:
        require(min(self.brightness, self.contrast, self.saturation) >= 0, "colour changes must be 0 or more.")
        require(0 <= self.hue <= 0.5, f"hue must be in [0, 0.5], not {self.hue}.")

    def __call__(self, images_NCHW: Tensor, u: Tensor, color: Color = "RGB") -> Tensor:  # noqa: N803
        import torch

        from resnets.modalities.image.transforms.normalize import as_float

        if color == "BGR":
            return self(images_NCHW.flip(1), u).flip(1)
        images = as_float(images_NCHW)
        if self.brightness:
            images = (images * _factors(u[:, 0], self.brightness)).clamp(0, 1)
        if self.contrast:
            mean = luma(images).mean((1, 2, 3), keepdim=True)
            images = torch.lerp(mean, images, _factors(u[:, 1], self.contrast)).clamp(0, 1)
        if self.saturation and images.shape[1] == 3:
            grey = luma(images).expand_as(images)
            images = torch.lerp(grey, images, _factors(u[:, 2], self.saturation)).clamp(0, 1)
        if self.hue and images.shape[1] == 3:
            images = _shift_hue(images, ((2 * u[:, 3] - 1) * self.hue)[:, None, None])
        return images


def _factors(u: Tensor, spread: float) -> Tensor:
    """(N, 1, 1, 1) factors spread evenly over [max(0, 1 - spread), 1 + spread], from (N,) uniform numbers."""
    if spread > 1:
        return (u * (1 + spread))[:, None, None, None]
    return (1 + (2 * u - 1) * spread)[:, None, None, None]


def luma(images: Tensor) -> Tensor:
    """(N, 1, H, W) the luma of ITU-R BT.601 of images in RGB, or grey ones."""
    from resnets.core.devices import constant

    if images.shape[1] == 1:
        return images
    weights = constant((0.2989, 0.587, 0.114), images.device).to(images.dtype)
    return (images * weights[:, None, None]).sum(1, keepdim=True)


def _shift_hue(images: Tensor, shift: Tensor) -> Tensor:
    """Adds `shift`, in fractions of the colour circle, to the hue in HSV."""
    import torch

    from resnets.core.devices import constant

    red, green, blue = images.unbind(1)
    value, chroma = images.amax(1), images.amax(1) - images.amin(1)
    safe = torch.where(chroma == 0, torch.ones_like(chroma), chroma)
    hue = torch.where(
        value == red,
        (green - blue) / safe,
        torch.where(value == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    hue = (hue / 6 + shift) % 1.0
    # Each channel is `value` less `chroma` times the distance of its own hue.
    offsets = constant((5.0, 3.0, 1.0), images.device)[:, None, None]
    k = (offsets + hue[:, None] * 6) % 6
    fall = torch.minimum(k, 4 - k).clamp(0, 1)
    return value[:, None] - chroma[:, None] * fall
