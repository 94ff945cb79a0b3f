"""The peak memory of a training step, predicted from a `Spec`, and the segments to recompute within a limit.

A block keeps the outputs of its convolutions, norms and activations for the backward pass. A segment of blocks under
activation checkpointing keeps its input alone and is recomputed in the backward pass (Chen et al. 2016, 1604.06174).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from resnets.core.errors import UsageError
from resnets.core.renamed import renamed_fields
from resnets.core.units import show_bytes
from resnets.models import counts
from resnets.models.box_heads import BoxHead
from resnets.models.counts import InputSize
from resnets.models.head_memory import head_activations
from resnets.models.part_memory import GATE_INPUTS, kept_by_instance_norm, kept_by_middle
from resnets.models.spec import Spec, stage_of

Segments = dict[str, tuple[int, ...]]  # by stage: lengths of the recomputed segments, from its first block on

# Tensors of the size of the largest layer in a backward pass: the incoming gradient, the outgoing one, one between.
_TEMPORARIES = 3
# Bytes of temporary memory for each number of a dropout mask: three int64 (`nn.stochastic`).
_DRAWN = 24


@dataclass(frozen=True, kw_only=True)
class BytesPerElement:
    """The bytes of one element.

    Args:
        activation: of an activation: 2 in bf16, 4 in float32.
        optimizer: of the optimiser's state for one weight: 4 for momentum, 8 for Adam.
        average: 4 where an average of the weights is kept, else 0.
    """

    activation: int = 4
    optimizer: int = 4
    average: int = 0


@renamed_fields
@dataclass(frozen=True, kw_only=True)
class StepMemory:
    """The peak memory of a training step by its parts, in bytes.

    Args:
        weights, gradients, optimizer, average: of all parameters.
        images: the micro-batch.
        kept: activations that are kept for the backward pass when the peak is reached.
        work: temporary memory then: of the layer that computes, and of the segment that is recomputed.
        program: everything else in the process.
    """

    weights: int
    gradients: int
    optimizer: int
    average: int
    images: int
    kept: int
    work: int
    program: int = 0

    @property
    def peak(self) -> int:
        return sum(vars(self).values())


def predict(
    spec: Spec,
    size: InputSize,
    micro_batch: int,
    *,
    numbers: BytesPerElement | None = None,
    segments: Segments | None = None,
    program: int = 0,
) -> StepMemory:
    """The memory of a training step.

    Args:
        size: (height, width) of the images in pixels, or one number for both.
        micro_batch: images that pass through the network at once.
        segments: the recomputed segments; None is none.
        program: bytes that the process holds before the step.

    Raises:
        UsageError: the network is a detector, whose memory depends on what it finds.
    """
    if isinstance(spec.head, BoxHead):
        raise UsageError("The memory of a detector's step depends on what it finds and is not predicted.")
    numbers = numbers or BytesPerElement()
    one = micro_batch * numbers.activation  # bytes of one activation over the micro-batch
    alive = _stem(spec, size) * one
    kept, work = alive, 0
    before = False
    for recomputed, unit in _units(_blocks(spec, size), segments or {}):
        saved, largest = sum(b.saved for b in unit) * one, max(b.largest for b in unit) * one
        if recomputed or before:  # else the unit before has its output among what it keeps
            alive += unit[0].input * one
        if not recomputed:
            alive += saved
        drawn = micro_batch * _DRAWN * max(b.drawn for b in unit)
        own = max(_TEMPORARIES * largest, drawn) + (saved if recomputed else 0)
        if alive + own > kept + work:
            kept, work = alive, own
        before = recomputed
    if (heads := head_activations(spec, size)) is not None:
        alive += heads.saved * one + heads.pixels * micro_batch * 4 + (heads.input * one if before else 0)
        own = max(
            _TEMPORARIES * max(heads.largest * one, heads.logits * micro_batch * 4), micro_batch * _DRAWN * heads.drawn
        )
        if alive + own > kept + work:
            kept, work = alive, own
    parameters = _parameters(spec)
    # Autocast makes a copy in each step, and standardised weights are kept beside those that are learnt.
    copies = (0 if numbers.activation == 4 else numbers.activation) + (4 if spec.standardized else 0)
    return StepMemory(
        weights=parameters * (4 + copies),
        gradients=4 * parameters,
        optimizer=numbers.optimizer * parameters,
        average=numbers.average * parameters,
        images=micro_batch * spec.channels * math.prod(counts.sides(spec, size)) * 4,
        kept=kept,
        work=work,
        program=program,
    )


_parameters = lru_cache(maxsize=8)(counts.parameters)


def fit(
    spec: Spec, size: InputSize, micro_batch: int, limit: int, *, numbers: BytesPerElement | None = None
) -> Segments:
    """The segments with which a step takes at most `limit` bytes and the fewest blocks are recomputed.

    Args:
        size: (height, width) of the images in pixels, or one number for both.
        micro_batch: images that pass through the network at once.

    Raises:
        UsageError: there are none; the message has the least memory that would do.
    """
    total = sum(spec.depths)
    best: tuple[int, Segments] | None = None
    least = predict(spec, size, micro_batch, numbers=numbers).peak
    for length in sorted({1, *(round(2 ** (i / 2)) for i in range(2, 15))}):
        low, high = 0, total + 1  # bisection for the fewest blocks to recompute
        while low < high:
            middle = (low + high) // 2
            peak = predict(spec, size, micro_batch, numbers=numbers, segments=_segments(spec, length, middle)).peak
            least = min(least, peak)
            low, high = (low, middle) if peak <= limit else (middle + 1, high)
        if low <= total and (best is None or low < best[0]):
            best = low, _segments(spec, length, low)
    if best is None:
        raise UsageError(
            f"A micro-batch of {micro_batch} images needs at least {show_bytes(least)}, and "
            f"{show_bytes(max(limit, 0))} are left."
        )
    return best[1]


def _segments(spec: Spec, length: int, count: int) -> Segments:
    """The first `count` blocks in segments of `length`; no segment goes beyond its stage."""
    found: Segments = {}
    for number, depth in enumerate(spec.depths, start=1):
        own = min(depth, count)
        count -= own
        if own:
            found[f"layer{number}"] = (length,) * (own // length) + ((own % length,) if own % length else ())
    return found


@dataclass(frozen=True)
class _Block:
    """Activations of a block for one image, in numbers.

    Args:
        saved: kept for the backward pass.
        input, largest, drawn: in the block's input, in its largest layer, in its dropout mask.
    """

    stage: str
    saved: int
    input: int
    largest: int
    drawn: int


@lru_cache(maxsize=8)
def _blocks(spec: Spec, size: InputSize) -> tuple[_Block, ...]:
    by_block: dict[str, list[counts.Layer]] = {}
    for layer in counts.layers(spec, size):
        if layer.name.startswith("layer"):
            by_block.setdefault(".".join(layer.name.split(".")[:2]), []).append(layer)
    inputs = spec.stem_width * math.prod(counts.behind_stem(spec, counts.sides(spec, size)))
    blocks = []
    for name, shape in spec.blocks():
        # Of middles and gates, the names have further parts.
        layers = [
            la for la in by_block[name] if la.name.count(".") == 2 or ".downsample." in la.name or ".bn1." in la.name
        ]
        convolutions = [math.prod(layer.shape) for layer in layers if ".conv" in layer.name]
        norms = [math.prod(layer.shape) for layer in layers if ".bn" in layer.name]
        shortcut = sum(math.prod(la.shape) for la in layers if ".downsample" in la.name and "conv" in la.kind)
        gate = GATE_INPUTS[shape.gate] * convolutions[-1]
        # A max pool keeps its output (the norm's input) and the positions of the maxima as int64.
        pool = 5 * convolutions[-1] if shape.pools else 0
        if shape.antialias != "none":  # means keep their inputs, of which a blur has two
            pool = convolutions[-2] // shape.stride**spec.dimensions + convolutions[-2] * (shape.antialias == "blur")
        # A norm that is not frozen keeps its input. ReLU keeps its output, the next layer's input; GELU its input too.
        activated = sum(norms or convolutions)
        keeps_input = bool(norms) and spec.norm != "frozen"
        saved = activated * (2 if spec.activation == "gelu" else 1) + (sum(convolutions) if keeps_input else 0)
        saved += kept_by_instance_norm(shape, convolutions)
        saved += gate + pool + (shortcut if keeps_input and not spec.preactivation else 0)
        if shape.shortcut == "D" and shape.stride > 1:  # the convolution of the shortcut keeps what its pool gives
            saved += inputs // shape.stride**spec.dimensions
        # Dropout keeps its mask, and the convolution after it keeps dropout's output. ReLU keeps its own output too;
        # GELU's output, which `activated` counts, is not needed then; nor is a middle's before a convolution.
        drawn = convolutions[-1 if spec.block == "basic" and shape.basic_stride == 1 else 0] if shape.dropout else 0
        spared = spec.activation == "gelu" or (shape.middle is not None and spec.block == "basic")
        saved += drawn * (1 if spared else 2)
        largest = max(inputs, *convolutions)
        if shape.middle is not None:
            gelu, of_block = spec.activation == "gelu", by_block[name]
            more, of_middle = kept_by_middle(name, shape, of_block, keeps_input=keeps_input, gelu=gelu)
            saved, largest = saved + more, max(largest, of_middle)
        blocks.append(_Block(f"layer{stage_of(name)}", saved, inputs, largest, drawn))
        inputs = convolutions[-1]
    return tuple(blocks)


@lru_cache(maxsize=8)
def _stem(spec: Spec, size: InputSize) -> int:
    """Numbers that the stem keeps for one image.

    They are the outputs of convolutions, norms and activations that the backward pass reads, and of a pool its output
    and the positions of the maxima (int64).
    """
    convolutions = {la.name: math.prod(la.shape) for la in counts.layers(spec, size) if la.kind.startswith("conv")}
    outputs = [number for name, number in convolutions.items() if name.startswith("conv1")]
    copies = (2 if spec.activation == "gelu" else 1) + (spec.norm not in ("frozen", "none") or spec.ibn == "b")
    # In pre-activation nets neither norm nor activation follows the last convolution.
    kept = copies * sum(outputs[:-1]) + outputs[-1] * (1 if spec.preactivation else copies)
    if spec.stem == "cifar":
        return kept
    pooled = outputs[-1] // int(2**spec.dimensions)
    if spec.stem_pool == "conv":
        return kept + copies * convolutions["maxpool.0"]
    if spec.antialias == "blur":  # the maxima at stride 1, and what is between the two means
        return kept + 6 * outputs[-1] + pooled
    return kept + (1 if spec.antialias == "average" else 5) * pooled


def _units(blocks: Sequence[_Block], segments: Segments) -> Iterator[tuple[bool, list[_Block]]]:
    """The recomputed segments, and the other blocks one by one, in order."""
    for stage, group in itertools.groupby(blocks, key=lambda block: block.stage):
        own, first = list(group), 0
        for length in segments.get(stage, ()):
            yield True, own[first : first + length]
            first += length
        for block in own[first:]:
            yield False, [block]
