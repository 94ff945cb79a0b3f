"""Convolution, normalisation and pooling for any number of spatial dimensions.

Blocks, stems and shortcuts take a `Layers` and build from it, so that they are written once for sequences (N, C, L),
images (N, C, H, W) and volumes (N, C, D, H, W).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnets.nn.convolutions import STANDARDIZED_CONV
from resnets.nn.shapes import Activation, Antialias, Norm, Pool

_CONV = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_BATCH_NORM = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
_INSTANCE_NORM = {1: nn.InstanceNorm1d, 2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}
_MAX_POOL = {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}
_ZEROS = {1: nn.ConstantPad1d, 2: nn.ConstantPad2d, 3: nn.ConstantPad3d}
AVERAGE_POOL: dict[int, Callable[..., nn.Module]] = {1: nn.AvgPool1d, 2: nn.AvgPool2d, 3: nn.AvgPool3d}
_GLOBAL_AVERAGE_POOL: dict[int, Callable[..., nn.Module]] = {
    1: nn.AdaptiveAvgPool1d,
    2: nn.AdaptiveAvgPool2d,
    3: nn.AdaptiveAvgPool3d,
}
_GLOBAL_MAX: dict[int, Callable[[Tensor, int], Tensor]] = {
    1: F.adaptive_max_pool1d,
    2: F.adaptive_max_pool2d,
    3: F.adaptive_max_pool3d,
}
_NONLINEARITY: dict[Activation, Callable[[], nn.Module]] = {"relu": nn.ReLU, "gelu": nn.GELU}

GROUPS_OF_GROUP_NORM = 32


class GlobalMaxPool(nn.Module):
    """The largest value of each channel: (N, C, ...) to (N, C, 1, ...).

    torch's adaptive pools have no deterministic gradient on CUDA and raise where `torch.use_deterministic_algorithms`
    is on, and torch 2.11 cannot export them to ONNX. In both cases `max` over the flattened positions is used instead.
    """

    def __init__(self, dimensions: int = 2) -> None:
        super().__init__()
        self.dimensions = dimensions

    def forward(self, x: Tensor) -> Tensor:
        if torch.jit.is_scripting():  # type: ignore[attr-defined]
            largest = x.flatten(2).max(2)[0]
            for _ in range(self.dimensions):
                largest = largest.unsqueeze(-1)
            return largest
        if torch.are_deterministic_algorithms_enabled() or torch.compiler.is_exporting():
            return x.flatten(2).max(2).values.reshape(x.shape[0], x.shape[1], *[1] * self.dimensions)
        return _GLOBAL_MAX[self.dimensions](x, 1)


class FrozenBatchNorm(nn.Module):
    """Batch norm whose scale, shift and statistics are fixed, as torchvision's `FrozenBatchNorm2d`.

        y = (x - running_mean) / sqrt(running_var + eps) * weight + bias

    All four are buffers, (channels,) each, so that no optimiser changes them, and training sees each sample by itself.
    Weights of a batch norm load; its `num_batches_tracked` is left out. (N, channels, ...) to the same shape and dtype.

    It is no subclass of torch's batch norm: what combines or recomputes running statistics leaves it alone.

    Args:
        dimensions: spatial dimensions of the input.
    """

    if TYPE_CHECKING:  # at run time TorchScript would read them, and does not know types in quotation marks
        weight: Tensor
        bias: Tensor
        running_mean: Tensor
        running_var: Tensor

    def __init__(self, channels: int, eps: float = 1e-5, dimensions: int = 2) -> None:
        super().__init__()
        self.eps = eps
        self.like_x = [1, -1] + [1] * dimensions
        self.register_buffer("weight", torch.ones(channels))
        self.register_buffer("bias", torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.register_load_state_dict_pre_hook(_without_batch_count)  # type: ignore[no-untyped-call]

    def forward(self, x: Tensor) -> Tensor:
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        shift = self.bias - self.running_mean * scale
        return x * scale.to(x.dtype).reshape(self.like_x) + shift.to(x.dtype).reshape(self.like_x)

    def extra_repr(self) -> str:
        return f"{len(self.weight)}, eps={self.eps}"


def _without_batch_count(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    state.pop(f"{prefix}num_batches_tracked", None)


@dataclass(frozen=True)
class Layers:
    """Builds the layers of a network.

    Args:
        dimensions: spatial dimensions of the input, 1, 2 or 3.
        norm: "batch" (Ioffe and Szegedy 2015), "frozen" (batch norm with fixed scales and statistics), "group" (Wu and
            He 2018; 32 groups, or the largest number below that divides the channels) or "none".
        eps: number added to the variance.
        momentum: weight of a new batch in the running statistics of batch norm, in (0, 1].
        activation: "relu", or "gelu" (Hendrycks and Gimpel 2016, 1606.08415).
        standardized: whether the weights of convolutions are standardised (Qiao et al. 2019; `nn.convolutions`).
    """

    dimensions: int = 2
    norm: Norm = "batch"
    eps: float = 1e-5
    momentum: float = 0.1
    activation: Activation = "relu"
    standardized: bool = False

    @property
    def positions(self) -> tuple[int, ...]:
        """The numbers of the spatial dimensions of (N, channels, ...)."""
        return tuple(range(2, 2 + self.dimensions))

    def conv(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        *,
        stride: int = 1,
        groups: int = 1,
        dilation: int = 1,
        bias: bool = False,
    ) -> nn.Module:
        """A convolution; at stride 1 it keeps the size (odd `kernel`) or reduces it by 1 (even `kernel`).

        One with a bias, which gives logits or the numbers of a gate, is never standardised.
        """
        kinds = STANDARDIZED_CONV if self.standardized and not bias else _CONV
        return kinds[self.dimensions](
            inputs,
            outputs,
            kernel,
            stride=stride,
            padding=dilation * (kernel - 1) // 2,
            dilation=dilation,
            groups=groups,
            bias=bias,
        )

    def normalization(self, channels: int, *, pooled: bool = False) -> nn.Module:
        """The norm of (N, channels, ...).

        Args:
            pooled: whether each channel has one position. Group norm has one group then: a group of one channel would
                leave nothing of it.
        """
        if self.norm == "batch":
            return _BATCH_NORM[self.dimensions](channels, eps=self.eps, momentum=self.momentum)
        if self.norm == "frozen":
            return FrozenBatchNorm(channels, self.eps, self.dimensions)
        if self.norm == "group":
            most = 1 if pooled else min(GROUPS_OF_GROUP_NORM, channels)
            groups = next(g for g in range(most, 0, -1) if channels % g == 0)
            return nn.GroupNorm(groups, channels, eps=self.eps)
        return nn.Identity()

    def instance_norm(self, channels: int) -> nn.Module:
        """Instance norm with a scale and a shift (Ulyanov et al. 2016, 1607.08022)."""
        return _INSTANCE_NORM[self.dimensions](channels, eps=self.eps, affine=True)

    def nonlinearity(self) -> nn.Module:
        return _NONLINEARITY[self.activation]()

    def max_pool(self, stride: int = 2, *, zeros: bool = False) -> nn.Module:
        """A max pool of window 3, such as after the ImageNet stem.

        Args:
            zeros: whether positions outside the image are 0 and count, as in BiT (Kolesnikov et al. 2020, 1912.11370),
                or are left out. The maximum of numbers below 0 differs.
        """
        if zeros:
            return nn.Sequential(_ZEROS[self.dimensions](1, 0.0), _MAX_POOL[self.dimensions](3, stride=stride))
        return _MAX_POOL[self.dimensions](3, stride=stride, padding=1)

    def antialiasing(self, antialias: Antialias, stride: int) -> nn.Module:
        """A low-pass filter with a stride (Zhang 2019, 1904.11486): each spatial size is divided and rounded up.

        "blur" weighs 3 positions by 1/4, 1/2 and 1/4 in each dimension, the image reflected at its edges (the paper's
        Tri-3). It is computed as two means of 2 positions, the second without those outside: the same numbers. It needs
        2 positions or more. "average" is the mean of a window of `stride`. That at stride 1 and "none" change nothing.
        """
        if antialias == "none" or (antialias == "average" and stride == 1):
            return nn.Identity()
        if antialias == "average":
            return self.average_pool(stride)
        mean = AVERAGE_POOL[self.dimensions]
        if self.dimensions == 3:  # where torch's pool refuses an input that is smaller than the window without padding
            return nn.Sequential(mean(2, 1), nn.ReplicationPad3d(1), mean(2, stride))
        return nn.Sequential(mean(2, 1), mean(2, stride, padding=1, count_include_pad=False))

    def halving_pool(self) -> nn.Module:
        """A max pool of window and stride 2; the last position of an odd size is dropped."""
        return _MAX_POOL[self.dimensions](2)

    def average_pool(self, stride: int, *, round_up: bool = True) -> nn.Module:
        """An average pool of window and stride `stride`.

        Args:
            round_up: whether a window that overlaps the edge gives the mean of what it holds; else it is dropped.
        """
        return AVERAGE_POOL[self.dimensions](stride, stride, ceil_mode=round_up, count_include_pad=False)

    def smoothing_pool(self, stride: int) -> nn.Module:
        """An average pool of window 3, padded with zeros that count."""
        return AVERAGE_POOL[self.dimensions](3, stride, padding=1)

    def global_pool(self, pool: Pool = "average") -> nn.Module:
        """A pool over all positions: (N, C, ...) to (N, C, 1, ...); "none" leaves them as they are."""
        if pool == "none":
            return nn.Identity()
        return GlobalMaxPool(self.dimensions) if pool == "max" else _GLOBAL_AVERAGE_POOL[self.dimensions](1)
