"""The residual network that a `Spec` describes."""

# Without `from __future__ import annotations`: tracing copies those of `forward`, and TorchScript needs them as types.

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, Literal, overload

import torch
from torch import Tensor, nn

from resnets.core.errors import UsageError
from resnets.models.feature_info import FeatureInfo, take_indices
from resnets.models.freezing import Freezable
from resnets.models.heads import LinearHead
from resnets.models.memory import Segments
from resnets.models.parameter_groups import ParameterGroups
from resnets.models.spec import Spec, stage_of
from resnets.nn.blocks import Basic, Bottleneck, PreActBasic, PreActBottleneck
from resnets.nn.layers import Layers
from resnets.nn.shapes import Pool
from resnets.nn.stages import Stage
from resnets.nn.stems import build_stem
from resnets.nn.stochastic import Dropout, number_stochastic_layers

Indices = int | Sequence[int] | None

_BLOCKS = {
    ("basic", False): Basic,
    ("bottleneck", False): Bottleneck,
    ("basic", True): PreActBasic,
    ("bottleneck", True): PreActBottleneck,
}


def layers_of(spec: Spec) -> Layers:
    """What builds the layers of a network of `spec`, of its head too."""
    return Layers(spec.dimensions, spec.norm, spec.norm_eps, spec.norm_momentum, spec.activation, spec.standardized)


class ResNet(Freezable, ParameterGroups):
    """The network that `spec` describes, with torch's own initialisation; `models.initialize` has the papers'.

    The keys of the `state_dict` are torchvision's, for the networks that torchvision has. Children are registered in
    the order of the forward pass and called as modules: `nn.Sequential(*list(net.children())[:-1])` gives the pooled
    features, and torchvision's `IntermediateLayerGetter` and FPN take the names in `spec.stage_modules`.

    With a linear head it is the whole classifier: (N, spec.channels, H, W) to logits (N, spec.classes). With another
    head in the spec it is the backbone alone, without `avgpool` and `fc`: it gives the last feature map, and the task's
    network has it as its child `backbone`.

    Besides `features` it has timm's methods under timm's names.
    """

    __jit_unused_properties__: ClassVar = [
        "recomputed", "num_features", "head_hidden_size", "num_classes", "feature_info",
    ]  # fmt: skip

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
            self._add_head(spec.head)
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
        return self.features_until(x, f"C{len(self.stage_names) + 1}")

    def features_until(self, x: Tensor, last: str) -> dict[str, Tensor]:
        """The feature maps up to the one called `last`; what comes after is not computed."""
        x = self.bn1(self.conv1(x))
        if not self.spec.preactivation:
            x = self.act(x)
        stages = {"C1": x}
        if last == "C1":
            return stages
        x = self.maxpool(x)
        for number, name in enumerate(self.stage_names, start=2):
            x = getattr(self, name)(x)
            stages[f"C{number}"] = x
            if last == f"C{number}" and number <= len(self.stage_names):
                return stages
        x = self.bn(x)
        stages[last] = self.act(x) if self.spec.preactivation else x
        return stages

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, ...) to logits (N, classes); without a linear head, to the last feature map.

        Without classes it gives pooled features (N, num_features), and with pool "none" the last feature map.
        """
        x = self.forward_features(x)
        if hasattr(self, "fc"):
            return self.forward_head(x)
        return x

    def forward_features(self, x: Tensor) -> Tensor:
        """(N, channels, ...) to the last feature map (N, num_features, ...)."""
        if torch.jit.is_scripting():  # type: ignore[attr-defined]
            # TorchScript cannot look up a module by a name in a variable.
            for name, module in self.named_children():
                if name != "avgpool" and name != "fc":
                    x = module(x)
            return x
        x = self.bn1(self.conv1(x))
        if not self.spec.preactivation:
            x = self.act(x)
        x = self.maxpool(x)
        for name in self.stage_names:
            x = getattr(self, name)(x)
        x = self.bn(x)
        return self.act(x) if self.spec.preactivation else x  # type: ignore[no-any-return]

    def forward_last_stage(self, x: Tensor) -> Tensor:
        """The feature map before the last stage, or a region of it, to the last feature map."""
        x = self.bn(getattr(self, self.stage_names[-1])(x))
        return self.act(x) if self.spec.preactivation else x  # type: ignore[no-any-return]

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """The last feature map to logits (N, classes), or with `pre_logits` to what the linear layer gets."""
        x = self.avgpool(x)
        if self.flattens:
            x = torch.flatten(x, 1)
        return x if pre_logits else self.fc(x)

    @overload
    def forward_intermediates(
        self,
        x: Tensor,
        indices: Indices = None,
        *,
        stop_early: bool = ...,
        output_fmt: Literal["NCHW"] = ...,
        intermediates_only: Literal[False] = False,
    ) -> tuple[Tensor, list[Tensor]]: ...
    @overload
    def forward_intermediates(
        self,
        x: Tensor,
        indices: Indices = None,
        *,
        stop_early: bool = ...,
        output_fmt: Literal["NCHW"] = ...,
        intermediates_only: Literal[True],
    ) -> list[Tensor]: ...
    def forward_intermediates(
        self,
        x: Tensor,
        indices: Indices = None,
        *,
        stop_early: bool = False,
        output_fmt: Literal["NCHW"] = "NCHW",
        intermediates_only: bool = False,
    ) -> tuple[Tensor, list[Tensor]] | list[Tensor]:
        """The last feature map, and a list of those of `features`.

        Args:
            indices: 0 for "C1" and so on, negative ones from the end; a number n is the last n; None is all.
            stop_early: whether nothing after the last of them is computed, which is returned as the last feature map.
            output_fmt: the only layout, channels after the batch, for callers that name it.
            intermediates_only: whether the list alone is returned.

        Raises:
            UsageError: an index is out of range, or another layout is asked for.
        """
        if output_fmt != "NCHW":
            raise UsageError(f"output_fmt must be NCHW, not {output_fmt}.")
        names = list(self.spec.stage_channels)
        chosen = take_indices(indices, len(names))
        maps = self.features_until(x, names[chosen[-1] if stop_early else -1])
        found = [maps[names[index]] for index in chosen]
        return found if intermediates_only else (list(maps.values())[-1], found)

    @property
    def num_features(self) -> int:
        """Channels of the last feature map."""
        return self.spec.num_features

    @property
    def head_hidden_size(self) -> int:
        """Numbers that the classifier gets for each sample: `num_features`."""
        return self.num_features

    @property
    def num_classes(self) -> int:
        """Number of logits; 0 without a classifier."""
        return self.spec.classes

    @property
    def feature_info(self) -> FeatureInfo:
        """Channels, strides and modules of the feature maps."""
        return FeatureInfo(self.spec)

    def get_classifier(self) -> nn.Module:
        """The linear layer; `nn.Identity` without classes."""
        return self.get_submodule("fc")

    def reset_classifier(self, classes: int, pool: Pool | None = None) -> None:
        """Replaces the classifier by a new one with torch's own initialisation, and `spec` by that of the new network.

        Args:
            classes: 0 leaves the classifier out.
            pool: the global pool, where it is to be another; "none" needs 0 classes.

        Raises:
            UsageError: a value is out of range, or the network has a task's head, which is not its own.
        """
        head = self.spec.head
        if not isinstance(head, LinearHead):
            raise UsageError(f"A backbone has no classifier of its own; that of its {type(head).__name__} is.")
        self.spec = replace(self.spec, classes=classes, pool=self.spec.pool if pool is None else pool)
        weight = next(self.parameters())
        self._add_head(head, weight.device, weight.dtype)
        number_stochastic_layers(self)

    def _add_head(self, head: LinearHead, device: torch.device | None = None, dtype: torch.dtype | None = None) -> None:
        """Sets the pool and the classifier that `spec`, whose head is `head`, describes."""
        spec, training = self.spec, self.training
        pool: nn.Module = layers_of(spec).global_pool(spec.pool)
        if head.dropout and spec.classes:
            pool = nn.Sequential(pool, Dropout(head.dropout))
        self.avgpool = pool.train(training)
        self.flattens = spec.pool != "none"
        fc = nn.Linear(self.num_features, spec.classes, device=device, dtype=dtype) if spec.classes else nn.Identity()
        self.fc: nn.Linear = fc.train(training)  # type: ignore[assignment]

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Sets whether every block is recomputed in the backward pass; `recomputed` chooses which."""
        depths = zip(self.stage_names, self.spec.depths, strict=True)
        self.recomputed = {name: (1,) * depth for name, depth in depths} if enable else {}


def backbone_of(network: nn.Module) -> ResNet:
    """The residual network in `network`: itself, the child `backbone` of a network with a head for pixels, or that
    one's child `body` in a detector.

    Raises:
        TypeError: it has none.
    """
    return _placed(network)[1]


def prefix_of(network: nn.Module) -> str:
    """What the names of the backbone's weights begin with in `network`: one of `PREFIXES`.

    Raises:
        TypeError: it has none.
    """
    return _placed(network)[0]


PREFIXES = ("", "backbone.", "backbone.body.")


def _placed(network: nn.Module) -> tuple[str, ResNet]:
    inner = getattr(network, "backbone", None)
    for prefix, module in zip(PREFIXES, (network, inner, getattr(inner, "body", None)), strict=True):
        if isinstance(module, ResNet):
            return prefix, module
    raise TypeError(f"{type(network).__name__} has no residual network")
