"""AlexNet's colour augmentation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from resnets.core.typed import checked
from resnets.modalities.image.preprocessing import Color
from resnets.modalities.image.transforms.base import BatchTransform, require

if TYPE_CHECKING:
    from torch import Tensor

# Of the colours of ImageNet's training images from 0 to 1: standard deviations along the principal components, and
# the components as columns for red, green and blue (fb.resnet.torch publishes them).
_STDS = (0.2175, 0.0188, 0.0045)
_COMPONENTS = ((-0.5675, 0.7192, 0.4009), (-0.5808, -0.0045, -0.8140), (-0.5836, -0.6948, 0.4203))


@dataclass(frozen=True, kw_only=True)
@checked
class PCAColor(BatchTransform):
    """A random shift of colour along ImageNet's principal components (Krizhevsky et al. 2012, section 4.1).

    The shift is the sum of the components, each times its standard deviation times a normal number. Grey images stay
    as they are.

    Args:
        std: standard deviation of the normal numbers.
    """

    std: float = 0.1

    numbers: ClassVar[int] = 3  # one a component

    def __post_init__(self) -> None:
        require(self.std >= 0, f"std must be 0 or more, not {self.std}.")

    def __call__(self, images_NCHW: Tensor, u: Tensor, color: Color = "RGB") -> Tensor:  # noqa: N803
        import torch

        from resnets.core.devices import constant, float64_device, to_device
        from resnets.modalities.image.transforms.normalize import as_float

        if color == "BGR":
            return self(images_NCHW.flip(1), u).flip(1)
        images = as_float(images_NCHW)
        if images.shape[1] != 3:
            return images
        exact = u.to(float64_device(u.device)).double().clamp(1e-7, 1 - 1e-7)
        normal = to_device(torch.special.ndtri(exact).float(), images.device) * self.std
        stds, components = constant(_STDS, images.device), constant(_COMPONENTS, images.device)
        shift: Tensor = (normal * stds) @ components.T
        return images + shift[:, :, None, None]
