"""Layers of the parts of a block, counted without building them: gates and middles."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from resnets.models.walk import Layer, Walk, strided
from resnets.nn.middles import Res2Net, SelectiveKernel, SplitAttention
from resnets.nn.shapes import BlockShape, eca_kernel


def gate_layers(walk: Walk, name: str, block: BlockShape) -> Iterator[Layer]:
    """The layers of the gate called `name`, on the output of `block`."""
    channels, hidden, one = block.outputs, block.gate_channels, (1,) * walk.spec.dimensions
    if block.gate == "se":
        yield walk.conv(f"{name}.fc1", channels, hidden, 1, bias=True, size=one)
        yield walk.conv(f"{name}.fc2", hidden, channels, 1, bias=True, size=one)
    elif block.gate == "eca":
        kernel = eca_kernel(channels)
        yield Layer(
            name=f"{name}.conv", kind=f"conv {kernel}", shape=(1, channels),
            parameters=kernel, multiply_adds=kernel * channels,
        )  # fmt: skip
    elif block.gate == "cbam":
        for number, (inputs, outputs) in enumerate([(channels, hidden), (hidden, channels)], start=1):
            layer = walk.conv(f"{name}.channel.fc{number}", inputs, outputs, 1, size=one)
            yield replace(layer, multiply_adds=2 * layer.multiply_adds)  # once for the means, once for the maxima
        yield walk.conv(f"{name}.spatial.conv.conv", 2, 1, 7)
        yield from walk.norms(f"{name}.spatial.conv.bn", 1)
    elif block.gate == "gc":
        layer = walk.conv(f"{name}.conv_attn", channels, 1, 1, bias=True)
        yield replace(layer, multiply_adds=2 * layer.multiply_adds)  # once for the weights, once for the mean by them
        yield walk.conv(f"{name}.mlp_scale.fc1", channels, hidden, 1, bias=True, size=one)
        yield Layer(
            name=f"{name}.mlp_scale.norm",
            kind="layer norm",
            shape=(hidden, *one),
            parameters=2 * hidden,
            multiply_adds=0,
        )
        yield walk.conv(f"{name}.mlp_scale.fc2", hidden, channels, 1, bias=True, size=one)


def middle_layers(walk: Walk, name: str, block: BlockShape, inputs: int, stride: int) -> Iterator[Layer]:
    """The layers of `block.middle` under `name`, of `inputs` channels; `walk.size` is its output's size afterwards."""
    width, groups, size, one = block.inner, block.groups, walk.size, (1,) * walk.spec.dimensions
    if isinstance(middle := block.middle, SelectiveKernel):
        for path in (f"{name}.paths.0", f"{name}.paths.1"):
            walk.size = size
            yield walk.conv(
                f"{path}.conv", inputs // 2 if middle.split else inputs, width, 3, stride=stride, groups=groups
            )
            yield from walk.norms(f"{path}.bn", width)
        hidden = middle.hidden(width)
        yield walk.conv(f"{name}.attn.fc_reduce", width, hidden, 1, size=one)
        yield from walk.norms(f"{name}.attn.bn", hidden, size=one)
        yield walk.conv(f"{name}.attn.fc_select", hidden, 2 * width, 1, size=one)
    elif isinstance(middle, Res2Net):
        for number in range(middle.scale - 1):
            walk.size = size
            yield walk.conv(f"{name}.convs.{number}", width, width, 3, stride=stride, groups=groups)
            yield from walk.norms(f"{name}.bns.{number}", width)
    elif isinstance(middle, SplitAttention):
        maps, hidden, pooled = width * middle.radix, middle.hidden(width), strided(size, stride)
        walk.size = pooled if middle.pool_first else size
        yield walk.conv(f"{name}.conv", width, maps, 3, groups=groups * middle.radix)
        yield from walk.norms(f"{name}.bn0", maps)
        yield walk.conv(f"{name}.fc1", width, hidden, 1, groups=groups, bias=True, size=one)
        yield from walk.norms(f"{name}.bn1", hidden, size=one)
        yield walk.conv(f"{name}.fc2", hidden, maps, 1, groups=groups, bias=True, size=one)
        walk.size = pooled
