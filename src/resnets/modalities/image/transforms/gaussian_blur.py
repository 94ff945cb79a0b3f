"""Random Gaussian blur."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from resnets.core.typed import checked
from resnets.modalities.image.preprocessing import Color
from resnets.modalities.image.transforms.base import BatchTransform, require

if TYPE_CHECKING:
    from torch import Tensor

LARGEST = 255  # pixels of a kernel's side


@dataclass(frozen=True, kw_only=True)
@checked
class GaussianBlur(BatchTransform):
    """A random Gaussian blur of the image reflected at its edges, as torchvision's `GaussianBlur` (Chen et al. 2020,
    2002.05709, appendix A).

    Args:
        p: probability for each image.
        kernel: side of the kernel in pixels, odd, at most `LARGEST`.
        sigma: smallest and largest standard deviation in pixels, drawn evenly.
    """

    p: float = 0.5
    kernel: int = 23
    sigma: tuple[float, float] = (0.1, 2.0)

    numbers: ClassVar[int] = 2  # whether, and how much

    def __post_init__(self) -> None:
        require(0 <= self.p <= 1, f"p must be in [0, 1], not {self.p:g}.")
        odd = 1 <= self.kernel <= LARGEST and self.kernel % 2 == 1
        require(odd, f"kernel must be odd, 1 to {LARGEST}, not {self.kernel}.")
        require(0 < self.sigma[0] <= self.sigma[1], f"sigma needs 0 < low <= high, not {self.sigma}.")

    def scaled(self, was: int, now: int) -> GaussianBlur:
        reach = min(LARGEST // 2, round(self.kernel // 2 * now / was))
        low, high = self.sigma
        return replace(self, kernel=2 * reach + 1, sigma=(low * now / was, high * now / was))

    def check_side(self, side: int) -> None:
        reach = self.kernel // 2
        require(
            reach < side,
            f"A kernel of {self.kernel} px cannot blur images of {side} px; the maximum is {2 * side - 1} px.",
        )

    def __call__(self, images_NCHW: Tensor, u: Tensor, color: Color = "RGB") -> Tensor:  # noqa: N803
        import torch
        import torch.nn.functional as F

        from resnets.core.devices import full_float32
        from resnets.modalities.image.transforms.normalize import as_float

        images = as_float(images_NCHW)
        count, channels, height, width = images.shape
        reach = self.kernel // 2
        low, high = self.sigma
        place = torch.arange(-reach, reach + 1, device=u.device) / (low + (high - low) * u[:, 1:])
        weights = torch.softmax(-0.5 * place**2, 1).repeat_interleave(channels, 0)[:, None]
        maps = F.pad(images.reshape(1, count * channels, height, width), (reach,) * 4, "reflect")
        with full_float32():
            maps = F.conv2d(maps, weights[:, :, :, None], groups=count * channels)
            maps = F.conv2d(maps, weights[:, :, None, :], groups=count * channels)
        return torch.where((u[:, 0] < self.p)[:, None, None, None], maps.view_as(images), images)
