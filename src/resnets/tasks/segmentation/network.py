"""The network of semantic segmentation: a residual network with a head for pixels.

FCN (Long et al. 2015, 1411.4038) and DeepLabV3 (Chen et al. 2017, 1706.05587) have the keys of the `state_dict` and the
values of torchvision's `fcn_resnet50` `101` and `deeplabv3_resnet50` `101`; `tasks.segmentation.heads` has the heads.
"""

# Without `from __future__ import annotations`: tracing copies those of `forward`, and TorchScript needs them as types.

from dataclasses import replace
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnets.core.errors import UsageError
from resnets.models.heads import FPNHead, PixelHead
from resnets.models.initialize import allocate
from resnets.models.on_backbone import OnBackbone
from resnets.models.resnet import ResNet, layers_of
from resnets.models.spec import Spec
from resnets.nn.stochastic import number_stochastic_layers
from resnets.tasks.segmentation.heads import INTERPOLATION, build_head, fcn


class SegmentationNet(OnBackbone):
    """Logits for each pixel: those of a head on the feature maps, enlarged to the size of the input.

    (N, spec.channels, H, W) to (N, spec.classes, H, W), for any height and width, in training and evaluation alike.

    Attributes:
        spec: the architecture; its head is a `PixelHead`.
        backbone: the residual network without a classifier.
        classifier: the head on the last stage, or on all stages for an `FPNHead`.
        aux_classifier: the head on the stage before it, where `spec.head.auxiliary`.
    """

    backbone_prefix: ClassVar[str] = "backbone."

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        if not isinstance(spec.head, PixelHead):
            raise UsageError(
                f"Segmentation needs a model with a head for pixels, and this one has {type(spec.head).__name__}."
            )
        self.spec = spec
        self.backbone = ResNet(spec)
        layers, (_, *channels), (_, *strides) = (
            layers_of(spec),
            spec.stage_channels.values(),
            spec.stage_strides.values(),
        )
        self.classifier = build_head(layers, spec.head, channels, strides, spec.classes)
        if spec.head.auxiliary:
            self.aux_classifier = fcn(layers, channels[-2], spec.classes)
        self.takes_all_stages = isinstance(spec.head, FPNHead)
        self.interpolation = INTERPOLATION[spec.dimensions]
        number_stochastic_layers(self)

    def get_classifier(self) -> nn.Module:
        """The head."""
        return self.classifier

    def reset_classifier(self, classes: int) -> None:
        """Replaces the layer of logits of each head by a new one with torch's own initialisation; `spec` follows.

        Raises:
            UsageError: `classes` is below 1.
        """
        self.spec = self.backbone.spec = replace(self.spec, classes=classes)
        layers, weight = layers_of(self.spec), next(self.parameters())
        for name in self.spec.head.output_layers:
            inputs = self.get_parameter(f"{name}.weight").shape[1]
            new = layers.conv(inputs, classes, 1, bias=True).to(weight.device, weight.dtype)
            self.set_submodule(name, new.train(self.training))

    def forward_features(self, x: Tensor) -> Tensor:
        """(N, channels, ...) to the backbone's last feature map."""
        last: Tensor = self.backbone(x)
        return last

    def features(self, x: Tensor) -> dict[str, Tensor]:
        """The feature maps of the backbone by name; see `ResNet.features`."""
        return self.backbone.features(x)

    def all_logits(self, x: Tensor) -> dict[str, Tensor]:
        """The logits of each head at the size of `x`: "out", and "aux" where there is an auxiliary head."""
        _, *maps = self.features(x).values()
        out = self.classifier(maps if self.takes_all_stages else maps[-1])
        logits = {"out": _enlarged(out, x, self.interpolation)}
        if "aux_classifier" in self._modules:
            logits["aux"] = _enlarged(self.aux_classifier(maps[-2]), x, self.interpolation)
        return logits

    def forward(self, x: Tensor) -> Tensor:
        if not torch.jit.is_scripting() and self.takes_all_stages:  # type: ignore[attr-defined]
            _, *maps = self.features(x).values()
            return _enlarged(self.classifier(maps), x, self.interpolation)
        return _enlarged(self.classifier(self.backbone(x)), x, self.interpolation)


def _enlarged(logits: Tensor, x: Tensor, mode: str) -> Tensor:
    """`logits` by linear interpolation at the size of `x`, whose outermost pixels' edges they share."""
    return F.interpolate(logits, x.shape[2:], mode=mode, align_corners=False)


def build(spec: Spec) -> SegmentationNet:
    """A network on the CPU whose weights are not yet set.

    Raises:
        UsageError: the spec has another head, or too many parameters for the weights to be allocated.
    """
    return allocate(spec, SegmentationNet)
