"""Layers of the heads for pixels, counted without building them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from resnets.models.heads import DeepLabHead, FCNHead, FPNHead, PixelHead
from resnets.models.walk import Layer, Size, Walk

Maps = Sequence[tuple[int, Size]]  # channels and size of the feature map of each stage


def pixel_layers(walk: Walk, head: PixelHead, maps: Maps) -> Iterator[Layer]:
    """The layers of `head` on the feature maps, and of its auxiliary head."""
    channels, walk.size = maps[-1]
    if isinstance(head, FPNHead):
        yield from _pyramid(walk, head, maps)
    elif isinstance(head, DeepLabHead):
        yield from _deeplab(walk, head, channels)
    else:
        yield from _fcn(walk, "classifier", channels)
    if head.auxiliary:
        channels, walk.size = maps[-2]
        yield from _fcn(walk, "aux_classifier", channels)


def _fcn(walk: Walk, name: str, inputs: int) -> Iterator[Layer]:
    inner = FCNHead.inner(inputs)
    yield walk.conv(f"{name}.0", inputs, inner, 3)
    yield from walk.norms(f"{name}.1", inner)
    yield walk.conv(f"{name}.4", inner, walk.spec.classes, 1, bias=True)


def _deeplab(walk: Walk, head: DeepLabHead, inputs: int) -> Iterator[Layer]:
    width, one = head.CHANNELS, (1,) * walk.spec.dimensions
    branches = 1 + len(head.rates)
    for number in range(branches):
        name = f"classifier.0.convs.{number}"
        yield walk.conv(f"{name}.0", inputs, width, 1 if number == 0 else 3)
        yield from walk.norms(f"{name}.1", width)
    name = f"classifier.0.convs.{branches}"
    yield walk.conv(f"{name}.1", inputs, width, 1, size=one)
    yield from walk.norms(f"{name}.2", width, size=one)
    yield walk.conv("classifier.0.project.0", (branches + 1) * width, width, 1)
    yield from walk.norms("classifier.0.project.1", width)
    yield walk.conv("classifier.1", width, width, 3)
    yield from walk.norms("classifier.2", width)
    yield walk.conv("classifier.4", width, walk.spec.classes, 1, bias=True)


def _pyramid(walk: Walk, head: FPNHead, maps: Maps) -> Iterator[Layer]:
    for number, (inputs, size) in enumerate(maps):
        walk.size = size
        yield walk.conv(f"classifier.lateral.{number}", inputs, head.pyramid, 1, bias=True)
    _, *strides = walk.spec.stage_strides.values()
    for number, finer in enumerate(head.finer(strides)):
        sizes, inputs = [maps[each][1] for each in (number, *finer)], head.pyramid
        for step in range(max(1, len(finer))):
            walk.size = sizes[step]
            yield walk.conv(f"classifier.levels.{number}.{step}.0", inputs, head.channels, 3)
            yield walk.group_norm(f"classifier.levels.{number}.{step}.1", head.channels)
            inputs = head.channels
    walk.size = maps[0][1]
    yield walk.conv("classifier.logits", head.channels, walk.spec.classes, 1, bias=True)
