"""What the parts of a block keep for the backward pass, in numbers for one image: gates and middles."""

from __future__ import annotations

import math
from collections.abc import Sequence

from resnets.models.walk import Layer
from resnets.nn.middles import Res2Net, SplitAttention
from resnets.nn.shapes import BlockShape, Gate

# Tensors of the size of its input that a gate keeps.
GATE_INPUTS: dict[Gate, int] = {"none": 0, "se": 1, "eca": 1, "cbam": 2, "gc": 1}


def kept_by_middle(
    name: str, block: BlockShape, layers: Sequence[Layer], *, keeps_input: bool, gelu: bool
) -> tuple[int, int]:
    """Numbers that `block.middle` keeps, and those in its largest layer.

    Args:
        layers: those of the block, which is called `name`.
        keeps_input: whether norms keep their inputs.
    """
    inside = [layer for layer in layers if layer.name.startswith(f"{name}.conv") and layer.name.count(".") > 2]
    maps = [math.prod(layer.shape) for layer in inside if layer.kind.startswith("conv 3")]
    after = next(layer for layer in layers if layer.name in (f"{name}.conv2", f"{name}.conv3"))
    output = block.reduced * math.prod(after.shape[1:])
    largest = max(*maps, output)
    if isinstance(block.middle, Res2Net):  # the outputs of activations are copied to one tensor, which is kept
        sums = 0 if block.changes else sum(maps[1:])
        return (1 + keeps_input) * sum(maps) + sums + output, largest
    kept = (keeps_input + (2 if gelu else 1)) * sum(maps) + output
    if isinstance(block.middle, SplitAttention) and block.stride > 1:  # the pool keeps its input
        kept += sum(maps) // block.middle.radix
    return kept, largest


def kept_by_instance_norm(block: BlockShape, convolutions: Sequence[int]) -> int:
    """Numbers that instance norm keeps beyond what the block's other norms keep: a copy of its half, or the sum."""
    return {"none": 0, "a": convolutions[0] // 2, "b": convolutions[-1]}[block.ibn]
