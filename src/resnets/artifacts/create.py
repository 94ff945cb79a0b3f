"""A network as a torch module, new or with pretrained weights: `resnets.create`."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields as fields_of
from dataclasses import replace
from os import PathLike
from typing import Any, Literal, overload

from resnets.artifacts.pretrained import load_weights
from resnets.core.console import say
from resnets.core.errors import UsageError, unknown
from resnets.core.rng import MAX_SEED
from resnets.core.signatures import checked_arguments
from resnets.models import catalog
from resnets.models.features import FeatureNet, feature_net
from resnets.models.initialize import initialize
from resnets.models.resnet import ResNet
from resnets.models.spec import Spec
from resnets.nn.shapes import StrideIn
from resnets.tasks.detection.network import Detector
from resnets.tasks.localization.network import Localizer
from resnets.tasks.networks import build_network
from resnets.tasks.segmentation.network import SegmentationNet


@overload
def create(
    name: str | Spec,
    *,
    classes: int | None = None,
    channels: int | None = None,
    weights: str | PathLike[str] | None = None,
    weights_stride: StrideIn | None = None,
    seed: int = 0,
    features_only: Literal[False] = False,
    **fields: Any,
) -> ResNet | SegmentationNet | Detector | Localizer: ...
@overload
def create(
    name: str | Spec,
    *,
    classes: int | None = None,
    channels: int | None = None,
    weights: str | PathLike[str] | None = None,
    weights_stride: StrideIn | None = None,
    seed: int = 0,
    features_only: Literal[True],
    out_indices: Sequence[int] | None = None,
    **fields: Any,
) -> FeatureNet: ...
@checked_arguments
def create(
    name: str | Spec,
    *,
    classes: int | None = None,
    channels: int | None = None,
    weights: str | PathLike[str] | None = None,
    weights_stride: StrideIn | None = None,
    seed: int = 0,
    features_only: bool = False,
    out_indices: Sequence[int] | None = None,
    **fields: Any,
) -> ResNet | SegmentationNet | Detector | Localizer | FeatureNet:
    """Create a network as a torch module, new or with pretrained weights.

    Args:
        name: from `CATALOG`, or a Spec.
        classes, channels: instead of the spec's; pretrained weights are adapted, and what was adapted is printed to
            standard error. 0 classes leave the classifier out: `net(x)` returns pooled features (N, net.num_features),
            and with `pool="none"` the last feature map.
        weights: a model file, a run folder, any `.pth` or `.safetensors` file, "torchvision:NAME", "timm:TAG" or
            "hf:OWNER/NAME". None initialises new ones.
        weights_stride: for a file of bottlenecks that does not say which convolution has the stride: "1x1" or "3x3".
        seed: of new weights.
        features_only: return the feature maps alone, as a list, from a network without a classifier.
        out_indices: which of them: 0 for the stem's, 1 for the first stage's and so on; None is all.
        fields: other fields of the spec, or of its head, instead of the spec's: `norm="frozen"`, `output_stride=16`,
            `drop_path=0.1`, `auxiliary=True`.

    Returns:
        A `ResNet` in training mode: `net(x)` returns logits, `net.features(x)` the stages by name; `net.spec` is the
        spec. For segmentation a `SegmentationNet`, whose logits have the input's size; `net.all_logits(x)` returns
        those of the auxiliary head, too. For detection a `Detector`, which is called as torchvision's are; for
        localization a `Localizer`. With `features_only` a `FeatureNet`, whose `feature_info` has channels and strides.

    Raises:
        UsageError: if the name or a field is unknown or a value is out of range.
        FileError: if the weights are missing, damaged or of another network.
    """
    if not 0 <= seed <= MAX_SEED:
        raise UsageError(f"seed must be from 0 to {MAX_SEED}, not {seed}.")
    spec = catalog.find(name) if isinstance(name, str) else name
    given = {"classes": classes, "channels": channels}
    spec = _changed(spec, {key: value for key, value in given.items() if value is not None} | fields)
    network = build_network(spec)
    initialize(network, seed=seed)
    if weights is not None:
        library_name = name if isinstance(name, str) else None
        for line in load_weights(network, os.fspath(weights), name=library_name, weights_stride=weights_stride):
            say(line, stream=sys.stderr)
    if features_only:
        return feature_net(network, out_indices)
    if out_indices is not None:
        raise UsageError("out_indices chooses feature maps: give features_only=True too.")
    return network


# What timm and torchvision call arguments, and what to write for them.
_USUAL_NAMES: Mapping[str, str] = {
    "device": 'create(...).to("cuda")',
    "num_classes": "classes",
    "in_chans": "channels",
    "in_channels": "channels",
    "drop_path_rate": "drop_path",
    "global_pool": "pool",
    "act_layer": "activation",
    "norm_layer": "norm",
    "checkpoint_path": "weights",
    "pretrained": 'weights, such as weights="torchvision:DEFAULT" or weights="timm:a1_in1k"',
}
_OWN_ARGUMENTS = {"weights", "weights_stride", "seed", "features_only", "out_indices"}


def _changed(spec: Spec, fields: dict[str, Any]) -> Spec:
    """`spec` with other values of its fields, or of its head's.

    Raises:
        UsageError: a field is unknown (the message has the nearest), or a value does not fit.
    """
    own, of_head = ({field.name for field in fields_of(each)} for each in (spec, spec.head))
    for name in fields:
        if name not in own | of_head:
            if name in _USUAL_NAMES:
                raise UsageError(f"No argument of create is called {name!r}: did you mean {_USUAL_NAMES[name]}?")
            raise unknown("field of the spec", name, sorted(own | of_head | _OWN_ARGUMENTS))
    head = {name: value for name, value in fields.items() if name not in own}
    spec = replace(spec, **{name: value for name, value in fields.items() if name in own})
    return replace(spec, head=replace(spec.head, **head)) if head else spec
