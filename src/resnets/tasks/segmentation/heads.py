"""The heads of semantic segmentation as modules: from feature maps to logits of their pixels."""

# Without `from __future__ import annotations`: tracing copies those of `forward`, and TorchScript needs them as types.

from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnets.core.errors import UsageError
from resnets.models.heads import DeepLabHead, FCNHead, FPNHead, PixelHead
from resnets.nn.layers import Layers
from resnets.nn.stochastic import ChannelDropout, Dropout

_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)  # not those that ranks synchronise
INTERPOLATION = {1: "linear", 2: "bilinear", 3: "trilinear"}  # by spatial dimensions


def build_head(
    layers: Layers, head: PixelHead, channels: Sequence[int], strides: Sequence[int], classes: int
) -> nn.Module:
    """The module of `head`: of the last feature map, or of those of all stages for an `FPNHead`.

    Args:
        channels, strides: of the feature maps of the stages.
    """
    if isinstance(head, FPNHead):
        return Pyramid(layers, head, channels, strides, classes)
    if isinstance(head, DeepLabHead):
        return deeplab(layers, channels[-1], head.rates_at(strides[-1]), classes)
    return fcn(layers, channels[-1], classes)


def fcn(layers: Layers, inputs: int, classes: int) -> nn.Sequential:
    """(N, inputs, ...) to logits (N, classes, ...) at the same size; see `FCNHead`."""
    inner = FCNHead.inner(inputs)
    return nn.Sequential(
        *_convolution(layers, inputs, inner, 3),
        Dropout(FCNHead.DROPOUT),
        layers.conv(inner, classes, 1, bias=True),
    )


def deeplab(layers: Layers, inputs: int, rates: Sequence[int], classes: int) -> nn.Sequential:
    """(N, inputs, ...) to logits (N, classes, ...) at the same size; see `DeepLabHead`."""
    channels = DeepLabHead.CHANNELS
    return nn.Sequential(
        AtrousPyramid(layers, inputs, channels, rates),
        *_convolution(layers, channels, channels, 3),
        layers.conv(channels, classes, 1, bias=True),
    )


class AtrousPyramid(nn.Module):
    """Atrous spatial pyramid pooling, from "rates" to the dropout; see `DeepLabHead`. Names are torchvision's."""

    def __init__(self, layers: Layers, inputs: int, channels: int, rates: Sequence[int]) -> None:
        super().__init__()
        pooled = nn.Sequential(
            layers.global_pool(),
            layers.conv(inputs, channels, 1),
            layers.normalization(channels, pooled=True),
            nn.ReLU(),
        )
        self.convs = nn.ModuleList(
            [
                nn.Sequential(*_convolution(layers, inputs, channels, 1)),
                *[nn.Sequential(*_convolution(layers, inputs, channels, 3, dilation=rate)) for rate in rates],
                pooled,
            ]
        )
        self.project = nn.Sequential(
            *_convolution(layers, len(self.convs) * channels, channels, 1), Dropout(DeepLabHead.DROPOUT)
        )

    def forward(self, x: Tensor) -> Tensor:
        if not torch.jit.is_scripting() and self.training and len(x) == 1:  # type: ignore[attr-defined]
            self._check_norm()
        found = [convolution(x) for convolution in self.convs]
        found[-1] = found[-1].expand_as(found[0])
        return self.project(torch.cat(found, dim=1))  # type: ignore[no-any-return]

    @torch.jit.unused
    def _check_norm(self) -> None:
        """Raises UsageError where batch norm would get one number a channel."""
        if type(self.convs.get_submodule(f"{len(self.convs) - 1}.2")) in _BATCH_NORMS:
            raise UsageError(
                "DeepLabV3 normalises the mean over each image, for which batch norm needs 2 images or more in a "
                "forward pass: set bn_batch=2 or more, or model.norm=frozen (with pretrained weights) or group."
            )


class Pyramid(nn.Module):
    """The feature maps of the stages, (N, channels, ...) each, to logits (N, classes, ...) at the size of the first;
    see `FPNHead`."""

    def __init__(
        self, layers: Layers, head: FPNHead, channels: Sequence[int], strides: Sequence[int], classes: int
    ) -> None:
        super().__init__()
        grouped = replace(layers, norm="group")
        self.finer = head.finer(strides)
        self.mode = INTERPOLATION[layers.dimensions]
        self.lateral = nn.ModuleList(layers.conv(inputs, head.pyramid, 1, bias=True) for inputs in channels)
        self.levels = nn.ModuleList(
            nn.Sequential(
                *[
                    nn.Sequential(*_convolution(grouped, head.channels if step else head.pyramid, head.channels, 3))
                    for step in range(max(1, len(finer)))
                ]
            )
            for finer in self.finer
        )
        self.dropout = ChannelDropout(head.dropout)
        self.logits = layers.conv(head.channels, classes, 1, bias=True)

    def forward(self, maps: list[Tensor]) -> Tensor:
        sizes = [each.shape[2:] for each in maps]
        above, total = None, None
        for number in range(len(maps) - 1, -1, -1):
            x = self.lateral[number](maps[number])
            if above is not None:
                x = x + F.interpolate(above, sizes[number], mode="nearest")
            above = x
            for step, convolution in enumerate(self.levels[number].children()):
                x = convolution(x)
                if self.finer[number]:
                    size = sizes[self.finer[number][step]]
                    x = F.interpolate(x, size, mode=self.mode, align_corners=False)
            total = x if total is None else total + x
        return self.logits(self.dropout(total))  # type: ignore[no-any-return]


def _convolution(layers: Layers, inputs: int, outputs: int, kernel: int, *, dilation: int = 1) -> list[nn.Module]:
    """A convolution, its norm and ReLU."""
    return [
        layers.conv(inputs, outputs, kernel, dilation=dilation),
        layers.normalization(outputs),
        nn.ReLU(),
    ]
