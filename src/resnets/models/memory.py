"""What a training step needs of memory, predicted from a `Spec`; and which blocks to compute twice to need less.

A block keeps for its backward pass what its convolutions give and what norm and activation make of that. A segment of
blocks that is recomputed keeps its input alone; when its turn comes, all of it is computed again (Chen et al. 2016,
1604.06174).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from resnets.core.errors import UsageError
from resnets.core.units import show_bytes
from resnets.models import counts
from resnets.models.spec import Spec, stage_of

Segments = dict[str, tuple[int, ...]]  # by stage: the lengths, from its first block on, of the segments computed twice

# Of the largest layer at work: the gradient that comes in, the one that goes out, and one in between.
_TEMPORARIES = 3
# Bytes that drawing one number of a dropout mask takes meanwhile: three int64 (`nn.stochastic`).
_DRAWN = 24


@dataclass(frozen=True, kw_only=True)
class BytesPerElement:
    """What one number takes, in bytes.

    Args:
        activation: of what layers give: 2 in bf16, 4 in float32.
        optimizer: of what the optimiser remembers for one weight: 4 for momentum, 8 for Adam.
        average: 4 where an average of the weights is kept, else 0.
    """

    activation: int = 4
    optimizer: int = 4
    average: int = 0


@dataclass(frozen=True, kw_only=True)
class StepMemory:
    """The peak of a step, in bytes, by what takes it.

    Args:
        weights, gradients, optimizer, average: of all parameters.
        images: the batch.
        program: what the process holds besides.
        kept: activations that wait for the backward pass when the peak is reached.
        work: of the segment that is computed again then, and of the layer at work.
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
    size: int,
    bn_batch: int,
    *,
    numbers: BytesPerElement | None = None,
    segments: Segments | None = None,
    program: int = 0,
) -> StepMemory:
    """The memory of a step in which `bn_batch` images of `size` pixels go through together."""
    numbers = numbers or BytesPerElement()
    one = bn_batch * numbers.activation  # bytes of one activation for all images
    alive = _stem(spec, size) * one
    kept, work = alive, 0
    before = False
    for recomputed, unit in _units(_blocks(spec, size), segments or {}):
        saved, largest = sum(b.saved for b in unit) * one, max(b.largest for b in unit) * one
        if recomputed or before:  # else what came before keeps it
            alive += unit[0].input * one
        if not recomputed:
            alive += saved
        drawn = bn_batch * _DRAWN * max(b.drawn for b in unit)
        own = max(_TEMPORARIES * largest, drawn) + (saved if recomputed else 0)
        if alive + own > kept + work:
            kept, work = alive, own
        before = recomputed
    parameters = _parameters(spec)
    return StepMemory(
        weights=parameters * (4 if numbers.activation == 4 else 4 + numbers.activation),  # cast anew in each step
        gradients=4 * parameters,
        optimizer=numbers.optimizer * parameters,
        average=numbers.average * parameters,
        images=bn_batch * spec.channels * size**spec.dimensions * 4,
        kept=kept,
        work=work,
        program=program,
    )


_parameters = lru_cache(maxsize=8)(counts.parameters)


def fit(spec: Spec, size: int, bn_batch: int, limit: int, *, numbers: BytesPerElement | None = None) -> Segments:
    """The segments with which a step stays within `limit` bytes and the fewest blocks are computed twice.

    Raises:
        UsageError: none do; the message has the least that is needed.
    """
    total = sum(spec.depths)
    best: tuple[int, Segments] | None = None
    least = predict(spec, size, bn_batch, numbers=numbers).peak
    for length in sorted({1, *(round(2 ** (i / 2)) for i in range(2, 15))}):
        low, high = 0, total + 1  # blocks computed twice: the fewest that fit lie within
        while low < high:
            middle = (low + high) // 2
            peak = predict(spec, size, bn_batch, numbers=numbers, segments=_segments(spec, length, middle)).peak
            least = min(least, peak)
            low, high = (low, middle) if peak <= limit else (middle + 1, high)
        if low <= total and (best is None or low < best[0]):
            best = low, _segments(spec, length, low)
    if best is None:
        raise UsageError(
            f"{bn_batch} images at a time need {show_bytes(least)} at least, and {show_bytes(max(limit, 0))} are left."
        )
    return best[1]


def _segments(spec: Spec, length: int, count: int) -> Segments:
    """The first `count` blocks in segments of `length`, which end with their stage."""
    found: Segments = {}
    for number, depth in enumerate(spec.depths, start=1):
        own = min(depth, count)
        count -= own
        if own:
            found[f"layer{number}"] = (length,) * (own // length) + ((own % length,) if own % length else ())
    return found


@dataclass(frozen=True)
class _Block:
    """Numbers of activations for one image; `drawn` are those of a dropout mask."""

    stage: str
    saved: int
    input: int
    largest: int
    drawn: int


@lru_cache(maxsize=8)
def _blocks(spec: Spec, size: int) -> tuple[_Block, ...]:
    by_block: dict[str, list[counts.Layer]] = {}
    for layer in counts.layers(spec, size):
        if layer.name.startswith("layer"):
            by_block.setdefault(".".join(layer.name.split(".")[:2]), []).append(layer)
    inputs = spec.stem_width * math.prod(counts.behind_stem(spec, size))
    blocks = []
    for name, shape in spec.blocks():
        layers = by_block[name]
        convolutions = [math.prod(layer.shape) for layer in layers if ".conv" in layer.name]
        norms = [math.prod(layer.shape) for layer in layers if ".bn" in layer.name]
        shortcut = sum(math.prod(la.shape) for la in layers if ".downsample" in la.name and "conv" in la.kind)
        gate = 2 * convolutions[-1] if shape.gate_reduction else 0
        # A pool keeps what it gives (the norm's input) and, as int64, the places it took.
        pool = 5 * convolutions[-1] if shape.pools else 0
        # A norm keeps what it is given, and the next layer what comes from ReLU, which keeps just that, or from GELU,
        # which keeps what it is given as well.
        activated = sum(norms or convolutions)
        saved = activated * (2 if spec.activation == "gelu" else 1) + (sum(convolutions) if norms else 0)
        saved += gate + pool + (shortcut if norms and not spec.preactivation else 0)
        # Dropout keeps its mask, and the convolution behind it what it gives. ReLU keeps its own result besides, where
        # GELU's, of which `activated` has it, is no longer needed.
        drawn = convolutions[-1 if shape.pools else 0] if shape.dropout else 0
        saved += drawn * (1 if spec.activation == "gelu" else 2)
        blocks.append(_Block(f"layer{stage_of(name)}", saved, inputs, max(inputs, *convolutions), drawn))
        inputs = convolutions[-1]
    return tuple(blocks)


@lru_cache(maxsize=8)
def _stem(spec: Spec, size: int) -> int:
    """What the stem keeps: its convolutions' outputs and those of norms and activations that a backward pass reads, and
    of a pool the places it took (int64)."""
    outputs = [
        math.prod(la.shape) for la in counts.layers(spec, size) if la.name.startswith("conv1") and "conv" in la.kind
    ]
    pooled = 0 if spec.stem == "cifar" else outputs[-1] // 2**spec.dimensions
    return (3 if spec.activation == "gelu" else 2) * sum(outputs) + 5 * pooled


def _units(blocks: Sequence[_Block], segments: Segments) -> Iterator[tuple[bool, list[_Block]]]:
    """The segments that are recomputed, and the other blocks one by one, in order."""
    for stage, group in itertools.groupby(blocks, key=lambda block: block.stage):
        own, first = list(group), 0
        for length in segments.get(stage, ()):
            yield True, own[first : first + length]
            first += length
        for block in own[first:]:
            yield False, [block]
