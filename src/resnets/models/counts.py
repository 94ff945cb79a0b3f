"""Shapes, parameters and multiply-adds of every layer of a `Spec`, counted without building the network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from resnets.core.errors import UsageError
from resnets.core.units import show_size
from resnets.models.box_counts import box_layers, regions_of
from resnets.models.box_heads import BoxHead, C4Head
from resnets.models.head_counts import pixel_layers
from resnets.models.heads import LocalizationHead, PixelHead
from resnets.models.part_counts import gate_layers, middle_layers
from resnets.models.spec import Spec, stage_of
from resnets.models.walk import Layer as Layer
from resnets.models.walk import Size, Walk, halved, linear, strided
from resnets.nn.shapes import STEM_STRIDES, BlockShape, deep_stem_widths, whitening_filters

InputSize = int | Size  # pixels of the input: in each dimension, or one number for all; (height, width) of images


def sides(spec: Spec, size: InputSize) -> Size:
    """`size` as a number for each dimension.

    Raises:
        UsageError: it has more or fewer numbers than `spec` has dimensions.
    """
    if isinstance(size, int):
        return (size,) * spec.dimensions
    if len(size) != spec.dimensions:
        raise UsageError(f"A size of {len(size)} numbers does not fit an input of {spec.dimensions} dimensions.")
    return tuple(size)


def behind_stem(spec: Spec, sides: Size) -> Size:
    """The spatial size of the first block's input."""
    conv_stride, pool_stride = STEM_STRIDES[spec.stem]
    if spec.stem == "whitened":
        return halved(tuple(n - 1 for n in sides))
    if spec.antialias == "average" and pool_stride > 1:
        return halved(strided(sides, conv_stride))
    return strided(strided(sides, conv_stride), pool_stride)


def layers(spec: Spec, size: InputSize) -> list[Layer]:
    """Every layer with weights, in the order of the forward pass; heads in the order of `spec.head.modules`.

    Raises:
        UsageError: `size` is below `spec.least_size` in a dimension, or has another number of dimensions.
    """
    if min(sides(spec, size)) < spec.least_size:
        raise UsageError(
            f"A {show_size(size)} px input is too small for this model; the minimum is {spec.least_size} px."
        )
    return list(_walk(spec, sides(spec, size)))


def _walk(spec: Spec, size: Size) -> Iterator[Layer]:
    walk = Walk(spec, size)
    conv_stride, _ = STEM_STRIDES[spec.stem]
    if spec.stem in ("deep", "tiered"):
        first, second = deep_stem_widths(spec.stem, spec.stem_width)
        yield walk.conv("conv1.0", spec.channels, first, 3, stride=conv_stride)
        yield from walk.norms("conv1.1", first)
        yield walk.conv("conv1.3", first, second, 3)
        yield from walk.norms("conv1.4", second)
        yield walk.conv("conv1.6", second, spec.stem_width, 3)
    elif spec.stem == "whitened":
        filters = whitening_filters(spec.channels, spec.dimensions)
        walk.size = tuple(n - 1 for n in walk.size)
        yield walk.conv("conv1.0", spec.channels, filters, 2)
        yield walk.conv("conv1.2", filters, spec.stem_width, 3)
        walk.size = behind_stem(spec, size)
    else:
        kernel = 7 if spec.stem == "imagenet" else 3
        yield walk.conv("conv1", spec.channels, spec.stem_width, kernel, stride=conv_stride)
    if spec.ibn == "b":
        yield walk.instance_norm("bn1", spec.stem_width)
    elif not spec.preactivation:
        yield from walk.norms("bn1", spec.stem_width)
    if spec.stem_pool == "conv":
        yield walk.conv("maxpool.0", spec.stem_width, spec.stem_width, 3, stride=2)
        yield from walk.norms("maxpool.1", spec.stem_width)
    walk.size = behind_stem(spec, size)
    channels = spec.stem_width
    maps: dict[int, tuple[int, Size]] = {}  # channels and size of each stage's output, the last stage last
    for name, block in spec.blocks():
        regions = 1
        if isinstance(spec.head, C4Head) and stage_of(name) == len(spec.depths):
            size_in, regions = regions_of(spec.head)
            walk.size = size_in if name.endswith(".0") else walk.size
        for layer in _block(walk, name, block):
            yield layer if regions == 1 else replace(layer, multiply_adds=regions * layer.multiply_adds)
        channels = block.outputs
        maps[stage_of(name)] = channels, walk.size
    if spec.preactivation:
        yield from walk.norms("bn", channels)
    if isinstance(spec.head, PixelHead):
        yield from pixel_layers(walk, spec.head, list(maps.values()))
    elif isinstance(spec.head, BoxHead):
        yield from box_layers(walk, spec.head, list(maps.values()))
    elif spec.classes:
        yield linear("fc", channels, spec.classes)
        if isinstance(spec.head, LocalizationHead):
            cells = spec.head.grid**spec.dimensions
            yield linear("box_head.hidden", cells * channels, spec.head.hidden)
            yield linear("box_head.box", spec.head.hidden, 4 * spec.head.boxes(spec.classes))


def _block(walk: Walk, name: str, block: BlockShape) -> Iterator[Layer]:
    spec, size_in = walk.spec, walk.size
    if spec.block == "basic":
        convs = [(block.inputs, block.inner, 3, block.basic_stride), (block.inner, block.outputs, 3, 1)]
    else:
        stride_1, stride_2 = block.bottleneck_strides
        convs = [
            (block.inputs, block.reduced, 1, stride_1),
            (block.reduced, block.inner, 3, stride_2),
            (block.reduced, block.outputs, 1, 1),
        ]
    middle = None if block.middle is None else len(convs) - 1
    for i, (inputs, outputs, kernel, stride) in enumerate(convs, start=1):
        if i == middle:
            yield from middle_layers(walk, f"{name}.conv{i}", block, inputs, stride)
            continue
        if spec.preactivation:
            yield from walk.norms(f"{name}.bn{i}", inputs)
        yield walk.conv(
            f"{name}.conv{i}", inputs, outputs, kernel, stride=stride, groups=block.groups if kernel == 3 else 1
        )
        if i == 1 and block.pools:
            walk.size = halved(walk.size)
        if i == 1 and block.ibn == "a":
            yield walk.instance_norm(f"{name}.bn1.IN", outputs // 2)
            yield from walk.norms(f"{name}.bn1.BN", outputs - outputs // 2)
        elif not spec.preactivation:
            yield from walk.norms(f"{name}.bn{i}", outputs)
        if block.antialias != "none" and i == len(convs) - 1:
            walk.size = strided(walk.size, block.stride)
    yield from gate_layers(walk, f"{name}.se", block)
    if block.shortcut == "C" or (block.changes and block.shortcut in ("B", "D")):
        pooled = block.shortcut == "D"  # the pool has the stride and is the first module of the Sequential
        size = walk.size if pooled else size_in
        place = 1 if pooled else 0
        yield walk.conv(
            f"{name}.downsample.{place}",
            block.inputs,
            block.outputs,
            1,
            stride=1 if pooled else block.stride,
            size=size,
        )
        if not spec.preactivation:
            yield from walk.norms(f"{name}.downsample.{place + 1}", block.outputs)
    if block.ibn == "b":
        yield walk.instance_norm(f"{name}.IN", block.outputs)


def parameters(spec: Spec) -> int:
    """The number of parameters."""
    return sum(layer.parameters for layer in _walk(spec, (1,) * spec.dimensions))


def multiply_adds(spec: Spec, size: InputSize) -> int:
    """Multiply-adds of convolutions and linear layers for one input, of all heads."""
    return sum(layer.multiply_adds for layer in layers(spec, size))
