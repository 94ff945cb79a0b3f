"""The residual network that a `Spec` describes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from resnets.models.heads import LinearHead
from resnets.models.memory import Segments
from resnets.models.spec import Spec, stage_of
from resnets.nn.blocks import Basic, Bottleneck, PreActBasic, PreActBottleneck
from resnets.nn.layers import Layers
from resnets.nn.stages import Stage
from resnets.nn.stems import build_stem
from resnets.nn.stochastic import number_stochastic_layers

_BLOCKS = {
    ("basic", False): Basic,
    ("bottleneck", False): Bottleneck,
    ("basic", True): PreActBasic,
    ("bottleneck", True): PreActBottleneck,
}


def layers_of(spec: Spec) -> Layers:
    """What builds the layers of a network of `spec`, of its head too."""
    return Layers(spec.dimensions, spec.norm, spec.norm_eps, spec.norm_momentum, spec.activation, spec.standardized)


class ResNet(nn.Module):
    """The network that `spec` describes, with torch's own initialisation; `models.initialize` has the papers'.

    The keys of the `state_dict` are torchvision's, for the networks that torchvision has. Children are registered in
    the order of the forward pass and called as modules: `nn.Sequential(*list(net.children())[:-1])` gives the pooled
    features, and torchvision's `IntermediateLayerGetter` and FPN take the names in `spec.stage_modules`.

    With a linear head it is the whole classifier: (N, spec.channels, H, W) to logits (N, spec.classes). With another
    head in the spec it is the backbone alone, without `avgpool` and `fc`: it gives the last feature map, and the task's
    network has it as its child `backbone`.
    """

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.spec = spec
        layers = layers_of(spec)
        block_class = _BLOCKS[spec.block, spec.preactivation]
        self.conv1, pool = build_stem(layers, spec.stem, spec.channels, spec.stem_width, spec.stem_pool, spec.antialias)
        norm = layers.instance_norm if spec.ibn == "b" else layers.normalization
        self.bn1 = nn.Identity() if spec.preactivation else norm(spec.stem_width)
        if not spec.preactivation:
            self.act = layers.nonlinearity()
        self.maxpool = pool
        stages: dict[int, list[nn.Module]] = {}
        for name, shape in spec.blocks():
            stages.setdefault(stage_of(name), []).append(block_class(layers, shape))
        self.stage_names = [f"layer{number}" for number in stages]
        for name, blocks in zip(self.stage_names, stages.values(), strict=True):
            self.add_module(name, Stage(*blocks))
        self.inplanes = shape.outputs  # torchvision's name for it, which its FPN reads
        self.bn = layers.normalization(shape.outputs) if spec.preactivation else nn.Identity()
        if spec.preactivation:
            self.act = layers.nonlinearity()
        if isinstance(spec.head, LinearHead):
            self.avgpool = layers.global_pool(spec.pool)
            self.fc = nn.Linear(shape.outputs, spec.classes)
        number_stochastic_layers(self)

    @property
    def recomputed(self) -> Segments:
        """The segments of blocks that are recomputed in the backward pass, by stage; see `models.memory`.

        Set it to train in less memory (activation checkpointing).
        """
        segments = {name: getattr(self.get_submodule(name), "recomputed", ()) for name in self.stage_names}
        return {name: lengths for name, lengths in segments.items() if lengths}

    @recomputed.setter
    def recomputed(self, segments: Segments) -> None:
        for name in self.stage_names:
            self.get_submodule(name).recomputed = segments.get(name, ())  # type: ignore[assignment]

    def features(self, x: Tensor) -> dict[str, Tensor]:
        """The feature maps by name: "C1" after the stem's convolutions, "C2" after the first stage, and so on.

        Channels and strides are `spec.stage_channels` and `spec.stage_strides`. In pre-activation nets the last
        one is normalised and activated, as the classifier gets it; the others are the sums of the last addition.
        """
        x = self.bn1(self.conv1(x))
        if not self.spec.preactivation:
            x = self.act(x)
        stages = {"C1": x}
        x = self.maxpool(x)
        for number, name in enumerate(self.stage_names, start=2):
            x = self.get_submodule(name)(x)
            stages[f"C{number}"] = x
        x = self.bn(x)
        stages[f"C{number}"] = self.act(x) if self.spec.preactivation else x
        return stages

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, ...) to logits (N, classes); without a linear head, to the last feature map."""
        last = self.features(x)[f"C{len(self.stage_names) + 1}"]
        if not isinstance(self.spec.head, LinearHead):
            return last
        return self.fc(torch.flatten(self.avgpool(last), 1))  # type: ignore[no-any-return]


def backbone_of(network: nn.Module) -> ResNet:
    """The residual network in `network`: itself, or the child `backbone` of a network with a task's head.

    Raises:
        TypeError: it has none.
    """
    backbone = network if isinstance(network, ResNet) else getattr(network, "backbone", None)
    if not isinstance(backbone, ResNet):
        raise TypeError(f"{type(network).__name__} has no residual network")
    return backbone


def prefix_of(network: nn.Module) -> str:
    """What the names of the backbone's weights begin with in `network`: "" or "backbone."."""
    return "" if isinstance(network, ResNet) else "backbone."
