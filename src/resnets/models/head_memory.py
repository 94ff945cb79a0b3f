"""The activations of a task's heads that a training step keeps: a part of `models.memory`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from resnets.models import counts
from resnets.models.counts import InputSize
from resnets.models.heads import DeepLabHead, FPNHead, PixelHead
from resnets.models.spec import Spec


@dataclass(frozen=True)
class HeadActivations:
    """Activations of the heads on feature maps for one image, in numbers.

    Args:
        saved: kept for the backward pass.
        pixels: of the logits for each pixel and of the loss on them, kept in float32.
        input, largest, drawn, logits: of the head on the last stage: its input, its largest layer, its dropout mask,
            and its logits for each pixel.
    """

    saved: int
    pixels: int
    input: int
    largest: int
    drawn: int
    logits: int


@lru_cache(maxsize=8)
def head_activations(spec: Spec, size: InputSize) -> HeadActivations | None:
    """What a head for pixels adds to the memory of a step; None for a linear head, whose activations are few."""
    head = spec.head
    if not isinstance(head, PixelHead):
        return None
    layers = [la for la in counts.layers(spec, size) if la.name.startswith(head.modules) and la.kind.startswith("conv")]
    coarse = [math.prod(la.shape) for la in layers if la.name in head.output_layers]
    inner = {la.name: math.prod(la.shape) for la in layers if la.name not in head.output_layers}
    learns = spec.norm in ("batch", "group")
    channels = list(reversed(spec.stage_channels.values()))[: len(spec.depths)]
    if isinstance(head, FPNHead):
        lateral = [numbers for name, numbers in reversed(inner.items()) if ".lateral." in name]
        inputs = [n * numbers // head.pyramid for n, numbers in zip(channels, lateral, strict=True)]
        saved, drawn = _saved_by_pyramid(inner, coarse[0] * head.channels // spec.classes), head.channels
    else:
        inputs = [n * places // spec.classes for n, places in zip(channels, coarse, strict=False)]
        masks = [
            inner[name] for name in ("classifier.0", "classifier.0.project.0", "aux_classifier.0") if name in inner
        ]
        # ReLU keeps its output, dropout its mask, the next convolution dropout's output; a norm that learns, its input.
        saved, drawn = (2 if learns else 1) * sum(inner.values()) + 2 * sum(masks), max(masks)
        if isinstance(head, DeepLabHead):  # the branches side by side
            saved += (2 + len(head.rates)) * masks[0]
    saved += sum(coarse)
    if spec.preactivation:  # no block counts the last activation, nor an addition that no norm keeps
        saved += inputs[0] + (0 if learns else sum(inputs[1:]))
    logits = spec.classes * math.prod(counts.sides(spec, size))
    return HeadActivations(
        saved=saved,
        pixels=2 * len(coarse) * logits,  # the loss keeps the logarithms of the probabilities
        input=inputs[0],
        largest=max(*inputs, *inner.values()),
        drawn=drawn,
        logits=logits,
    )


def _saved_by_pyramid(convolutions: Mapping[str, int], summed: int) -> int:
    """Numbers that `FPNHead` keeps, coarse logits aside.

    The maps of the pyramid, inputs and outputs of group norm and ReLU, the enlarged inputs of later convolutions, and
    what the last one gets.

    Args:
        convolutions: the numbers that each gives.
        summed: of the sum of all levels.
    """
    lateral = sum(numbers for name, numbers in convolutions.items() if ".lateral." in name)
    later = sum(n for name, n in convolutions.items() if ".levels." in name and not name.endswith(".0.0"))
    return lateral + 2 * (sum(convolutions.values()) - lateral) + later + summed
