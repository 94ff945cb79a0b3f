"""The activations of a task's heads that a training step keeps: a part of `models.memory`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

from resnets.models import counts
from resnets.models.counts import InputSize
from resnets.models.heads import FCNHead
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
    """What `FCNHead` adds to the memory of a step; None for a linear head, whose activations are few."""
    if not isinstance(spec.head, FCNHead):
        return None
    found = [la for la in counts.layers(spec, size) if la.name.startswith(spec.head.modules)]
    inner = [math.prod(la.shape) for la in found if la.name.endswith(".0")]
    coarse = [math.prod(la.shape) for la in found if la.name.endswith(".4")]
    channels = list(reversed(spec.stage_channels.values()))
    inputs = [n * places // spec.classes for n, places in zip(channels, coarse, strict=False)]
    logits = spec.classes * math.prod(counts.sides(spec, size))
    learns = spec.norm in ("batch", "group")
    # ReLU keeps its output, dropout its mask, the last convolution dropout's output; a norm that learns, its input.
    saved = (4 if learns else 3) * sum(inner) + sum(coarse)
    if spec.preactivation:  # no block counts the last activation, nor an addition that no norm keeps
        saved += inputs[0] + (0 if learns else sum(inputs[1:]))
    return HeadActivations(
        saved=saved,
        pixels=2 * len(inner) * logits,  # the loss keeps the logarithms of the probabilities
        input=inputs[0],
        largest=max(*inputs, *inner),
        drawn=max(inner),
        logits=logits,
    )
