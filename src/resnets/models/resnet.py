"""The one residual network: it reads a `Spec` and is it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from resnets.models.memory import Segments
from resnets.models.spec import Spec, stage_of
from resnets.nn.blocks import Basic, Bottleneck, PreActBasic, PreActBottleneck
from resnets.nn.layers import Layers
from resnets.nn.recompute import run
from resnets.nn.stems import build_stem
from resnets.nn.stochastic import number_stochastic_layers

_BLOCKS = {
    ("basic", False): Basic,
    ("bottleneck", False): Bottleneck,
    ("basic", True): PreActBasic,
    ("bottleneck", True): PreActBottleneck,
}


class ResNet(nn.Module):
    """The network that `spec` describes, with torch's own initialisation; `models.initialize` gives the papers'.

    `state_dict` keys of the family that torchvision shares are torchvision's.

    Shapes, for images: (N, spec.channels, H, W) to (N, spec.classes).
    """

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.spec = spec
        layers = Layers(spec.dimensions, spec.norm, spec.norm_eps, spec.norm_momentum, spec.activation)
        block_class = _BLOCKS[spec.block, spec.preactivation]
        self.conv1, self.maxpool = build_stem(layers, spec.stem, spec.channels, spec.stem_width)
        self.bn1 = nn.Identity() if spec.preactivation else layers.normalization(spec.stem_width)
        self.act = layers.nonlinearity()
        stages: dict[int, list[nn.Module]] = {}
        outputs = spec.stem_width
        for name, shape in spec.blocks():
            stages.setdefault(stage_of(name), []).append(block_class(layers, shape))
            outputs = shape.outputs
        self.stage_names = [f"layer{number}" for number in stages]
        for name, blocks in zip(self.stage_names, stages.values(), strict=True):
            self.add_module(name, nn.Sequential(*blocks))
        self.bn = layers.normalization(outputs) if spec.preactivation else nn.Identity()
        self.avgpool = layers.global_pool(spec.pool)
        self.fc = nn.Linear(outputs, spec.classes)
        self.recomputed: Segments = {}  # see `models.memory`; set it to train in less memory
        number_stochastic_layers(self)

    def features(self, x: Tensor) -> dict[str, Tensor]:
        """The named stages: "C1" behind the stem's convolutions, "C2" behind the first stage, and so on.

        Channels and strides are `spec.stage_channels` and `spec.stage_strides`. In pre-activation nets the last
        one is normalised and activated, as the classifier sees it; the others are the bare sums.
        """
        x = self.conv1(x)
        if not self.spec.preactivation:
            x = self.act(self.bn1(x))
        stages = {"C1": x}
        x = self.maxpool(x)
        for number, name in enumerate(self.stage_names, start=2):
            x = run(self.get_submodule(name), x, self.recomputed.get(name, ()))
            stages[f"C{number}"] = x
        if self.spec.preactivation:
            stages[f"C{number}"] = self.act(self.bn(x))
        return stages

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, ...) to logits (N, classes)."""
        last = self.features(x)[f"C{len(self.stage_names) + 1}"]
        return self.fc(torch.flatten(self.avgpool(last), 1))  # type: ignore[no-any-return]
