"""The network of localization: a residual network that gives the class of an image, and a box."""

# Without `from __future__ import annotations`: tracing copies those of `forward`, and TorchScript needs them as types.

from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from resnets.core.errors import UsageError
from resnets.models.heads import LocalizationHead
from resnets.models.initialize import allocate
from resnets.models.on_backbone import OnBackbone
from resnets.models.resnet import ResNet, layers_of
from resnets.models.spec import Spec
from resnets.nn.stochastic import number_stochastic_layers


class BoxRegressor(nn.Module):
    """Boxes on a feature map (N, channels, H, W): (N, count, 4), left, top, right and bottom as shares of the input.

    The layer gives logits of the centre and of the size, each a share from 0 to 1; a box may reach out of the input.
    """

    def __init__(self, channels: int, head: LocalizationHead, count: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(head.grid)
        self.hidden = nn.Linear(channels * head.grid**2, head.hidden)
        self.box = nn.Linear(head.hidden, 4 * count)

    def forward(self, x: Tensor) -> Tensor:
        logits = self.box(self.hidden(self.pool(x).flatten(1)).relu())
        if logits.dtype == torch.bfloat16 or logits.dtype == torch.float16:
            logits = logits.float()  # those would place a box to a 256th of the input
        shares = logits.sigmoid().unflatten(1, (-1, 4))
        center, half = shares[:, :, :2], shares[:, :, 2:] / 2
        return torch.cat([center - half, center + half], 2)


class Localizer(OnBackbone):
    """The class of each image, and for each class the box of an object of it.

    (N, spec.channels, H, W) to (N, spec.classes, 5), in training and evaluation alike: the logit of each class, and
    left, top, right and bottom of its box as shares of the input's width and height. Where the head has one box for all
    classes, that box is with each.

    Attributes:
        spec: the architecture; its head is a `LocalizationHead`.
        backbone: the residual network without a classifier.
        fc: the classifier, under the name that it has in a residual network, so that weights of one are a start.
        box_head: the `BoxRegressor`.
    """

    backbone_prefix: ClassVar[str] = "backbone."

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        if not isinstance(spec.head, LocalizationHead):
            raise UsageError(
                "Localization needs a model with a head for a class and a box, and this one has "
                f"{type(spec.head).__name__}."
            )
        if spec.dimensions != 2:
            raise UsageError(f"Localization needs a network of images, and this one has {spec.dimensions} dimensions.")
        self.spec = spec
        self.backbone = ResNet(spec)
        self.avgpool = layers_of(spec).global_pool(spec.pool)
        self.fc = nn.Linear(self.backbone.num_features, spec.classes)
        self.box_head = BoxRegressor(self.backbone.num_features, spec.head, spec.head.boxes(spec.classes))
        number_stochastic_layers(self)

    def get_classifier(self) -> nn.Module:
        """The linear layer of the classes."""
        return self.fc

    def reset_classifier(self, classes: int) -> None:
        """Replaces the layers that have rows for classes by new ones with torch's own initialisation; `spec` follows.

        Raises:
            UsageError: `classes` is below 1.
        """
        self.spec = self.backbone.spec = replace(self.spec, classes=classes)
        weight = next(self.parameters())
        for name, rows in self.spec.head.output_layers.items():
            inputs = self.get_parameter(f"{name}.weight").shape[1]
            new = nn.Linear(inputs, classes * rows.numbers, device=weight.device, dtype=weight.dtype)
            self.set_submodule(name, new.train(self.training))

    def forward_features(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) to the backbone's last feature map."""
        last: Tensor = self.backbone(x)
        return last

    def features(self, x: Tensor) -> dict[str, Tensor]:
        """The feature maps of the backbone by name; see `ResNet.features`."""
        return self.backbone.features(x)

    def forward(self, x: Tensor) -> Tensor:
        last = self.backbone(x)
        logits = self.fc(self.avgpool(last).flatten(1))
        boxes = self.box_head(last).expand(-1, logits.shape[1], -1)
        return torch.cat([logits[:, :, None].to(boxes.dtype), boxes], 2)


def build(spec: Spec) -> Localizer:
    """A network on the CPU whose weights are not yet set.

    Raises:
        UsageError: the spec has another head, or too many parameters for the weights to be allocated.
    """
    return allocate(spec, Localizer)
