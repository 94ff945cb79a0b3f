"""The feature maps that a detector works on: a residual network, alone or with a feature pyramid on it."""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool, LastLevelP6P7

from resnets.models.box_heads import FasterRCNNHead, RetinaNetHead
from resnets.models.resnet import ResNet


class Pyramid(nn.Module):
    """(N, channels, H, W) to the maps of a feature pyramid (Lin et al. 2017, 1612.03144), the finest first.

    Names of weights are torchvision's.

    Attributes:
        body: the residual network.
        strides: of the maps of its stages. The maps after them have half the size of the one before each, rounded up.
        channels: of every map.
    """

    def __init__(self, body: ResNet, head: FasterRCNNHead | RetinaNetHead) -> None:
        super().__init__()
        self.body = body
        first = 1 if isinstance(head, FasterRCNNHead) else 2  # "C2" or "C3"
        self.names = list(body.spec.stage_channels)[first:]
        self.strides = [body.spec.stage_strides[name] for name in self.names]
        self.channels = head.pyramid
        further = LastLevelMaxPool() if isinstance(head, FasterRCNNHead) else LastLevelP6P7(head.pyramid, head.pyramid)
        inputs = [body.spec.stage_channels[name] for name in self.names]
        self.fpn = FeaturePyramidNetwork(inputs, head.pyramid, extra_blocks=further)

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = self.body.features(x)
        return list(self.fpn(OrderedDict((name, maps[name]) for name in self.names)).values())


class Shared(nn.Module):
    """(N, channels, H, W) to the map before the last stage, which is left to each region (He et al. 2015, appendix A).

    Attributes:
        body: the residual network, with its last stage.
        strides, channels: of that map.
    """

    def __init__(self, body: ResNet) -> None:
        super().__init__()
        self.body = body
        self.name = list(body.spec.stage_channels)[-2]
        self.strides = [body.spec.stage_strides[self.name]]
        self.channels = body.spec.stage_channels[self.name]

    def forward(self, x: Tensor) -> list[Tensor]:
        return [self.body.features_until(x, self.name)[self.name]]
