"""The head of a file of weights: the classes that it knows by name, and its layer of logits for others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from resnets.artifacts.pretrained_classes import (
    coco_rows,
    imagenet_rows,
    is_coco,
    is_imagenet,
    is_voc,
    rows_by_name,
    voc_rows,
)
from resnets.models.box_heads import BoxHead
from resnets.models.heads import LinearHead, PixelHead
from resnets.models.imagenet_classes import imagenet_classes
from resnets.models.resnet import backbone_of
from resnets.models.surgery import has_rows


@dataclass(frozen=True)
class ClassifierHead:
    """The linear layer of logits in a file of weights, over the classes that it was trained on.

    Args:
        weight: (classes, features) float32.
        bias: (classes,) float32.
        names: those of its classes; None where they are not known.
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    names: tuple[str, ...] | None

    def name(self, row: int) -> str:
        return self.names[row] if self.names else f"row {row}"


def known_rows(
    network: nn.Module, state: Mapping[str, Tensor], theirs: Sequence[str] | None, own: Sequence[str] | None
) -> dict[int, int] | None:
    """The class of the head in `state` for each class that it knows by name; None where names say nothing, or where
    `network` has another head.

    A linear head of 1,000 rows without names is taken to be one over ImageNet, a detector's of 90 classes one over
    COCO, and one for pixels of 21 classes one over VOC, unless it has a row for each class of the data and none of the
    names is there.
    """
    head = backbone_of(network).spec.head
    layer, layout = next(iter(head.output_layers.items()))
    if own is None or not has_rows(network, state, layer):
        return None
    count = layout.classes_of(len(state[f"{layer}.weight"]))
    if theirs is not None:
        return rows_by_name(own, theirs) if len(theirs) == count else None
    if isinstance(head, BoxHead):
        published, rows_of = is_coco, coco_rows
    elif isinstance(head, PixelHead):
        published, rows_of = is_voc, voc_rows
    else:
        published, rows_of = is_imagenet, imagenet_rows
    if not published(count):
        return None
    rows = rows_of(own)
    return None if not rows and len(own) == count else rows


def classifier_head(
    network: nn.Module, state: Mapping[str, Tensor], theirs: Sequence[str] | None
) -> ClassifierHead | None:
    """The layer of logits in `state`; None where `network` is no classifier, or takes other features."""
    head = backbone_of(network).spec.head
    layer = next(iter(head.output_layers))
    weight, bias = state.get(f"{layer}.weight"), state.get(f"{layer}.bias")
    if not isinstance(head, LinearHead) or weight is None or bias is None or not has_rows(network, state, layer):
        return None
    names = tuple(theirs) if theirs is not None and len(theirs) == len(bias) else None
    if theirs is None and is_imagenet(len(bias)):
        names = tuple(each[1] for each in imagenet_classes())
    return ClassifierHead(weight.flatten(1).float().numpy(), bias.float().numpy(), names)
