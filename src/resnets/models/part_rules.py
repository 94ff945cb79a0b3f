"""Which networks can have which parts: pools (see `nn.stems`), filters in place of strides, middles (see `nn.middles`)
and instance norm (see `nn.instance_batch`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from resnets.core.errors import UsageError
from resnets.core.typed import conform, field_types
from resnets.nn.middles import Middle, Res2Net, SelectiveKernel, SplitAttention
from resnets.nn.shapes import IBN, STEM_STRIDES, BlockShape, Norm, Stem, StemPool, StrideIn

_MOST = 1024  # far more than in any published network


def check_stem_pool(stem_pool: StemPool, stem: Stem, *, preactivation: bool) -> None:
    """Checks that a network can have this pool in its stem.

    Raises:
        UsageError: it cannot.
    """
    if stem_pool != "max" and STEM_STRIDES[stem] != (2, 2):
        raise UsageError(f"stem_pool {stem_pool!r} belongs to a stem of stride 4; {stem} has another.")
    if stem_pool == "conv" and preactivation:
        raise UsageError("stem_pool 'conv' ends in a norm and an activation, which pre-activation nets have later.")


def check_antialias(stem_pool: StemPool, stem: Stem, stride_in: StrideIn, *, preactivation: bool) -> None:
    """Checks that filters can take the strides of a network.

    Raises:
        UsageError: they cannot.
    """
    if preactivation or stride_in != "3x3" or stem == "whitened":
        raise UsageError(
            "antialias takes the stride of 3x3 convolutions: it needs stride_in '3x3', another stem than whitened, and "
            "no preactivation."
        )
    if stem_pool != "max":
        raise UsageError(f"antialias has its own pool in the stem, not stem_pool {stem_pool!r}: leave one out.")


def check_parts(shapes: Sequence[BlockShape], ibn: IBN, norm: Norm, *, basic: bool, preactivation: bool) -> None:
    """Checks that the blocks of a network, all of which have one middle, can be built.

    Args:
        ibn: the network's option; only some blocks have it.
        basic: whether they are basic blocks.

    Raises:
        UsageError: they cannot.
    """
    if (middle := shapes[0].middle) is not None:
        _check_middle(middle, shapes, basic=basic, preactivation=preactivation)
    if ibn != "none":
        _check_ibn(shapes, norm, preactivation=preactivation)


def checked_middle(middle: Middle) -> Middle:
    """`middle` with its numbers as Python's own: `nn`, where it is declared, checks nothing.

    Raises:
        UsageError: a number is of another type or out of range.
    """
    kind: Any = type(middle)
    least, found = 2 if isinstance(middle, Res2Net) else 1, {}
    for field, declared in field_types(kind).items():
        found[field] = value = conform(declared, getattr(middle, field), f"middle.{field}")
        if not isinstance(value, bool) and not least <= value <= _MOST:
            raise UsageError(f"{kind.__name__} needs a {field} from {least} to {_MOST:,}, not {value}.")
    return replace(middle, **found)


def _check_middle(middle: Middle, shapes: Sequence[BlockShape], *, basic: bool, preactivation: bool) -> None:
    name = type(middle).__name__
    if preactivation:
        raise UsageError(f"middle {name} belongs to blocks without pre-activation.")
    if basic and not isinstance(middle, SelectiveKernel):
        raise UsageError(f"middle {name} belongs to bottlenecks; basic blocks can have SelectiveKernel.")
    for shape in shapes:
        if shape.stride_in != "3x3":
            raise UsageError(f"middle {name} has the block's stride: it needs stride_in '3x3', not {shape.stride_in}.")
        if shape.antialias != "none":
            raise UsageError(f"middle {name} has the block's stride, which antialias would take; leave one out.")
        if isinstance(middle, SelectiveKernel):
            _check_selective_kernel(middle, shape, shape.inputs if basic else shape.inner)
        if isinstance(middle, SplitAttention):
            _check_split_attention(middle, shape)


def _check_ibn(shapes: Sequence[BlockShape], norm: Norm, *, preactivation: bool) -> None:
    if norm not in ("batch", "frozen"):
        raise UsageError(f"ibn puts instance norm beside batch norm: it needs norm batch or frozen, not {norm}.")
    if preactivation or any(s.middle is not None or s.pools or s.antialias != "none" for s in shapes):
        raise UsageError("ibn belongs to blocks without pre-activation, middle, antialias and max pools.")


def _check_selective_kernel(middle: SelectiveKernel, shape: BlockShape, inputs: int) -> None:
    if middle.split and inputs % (2 * shape.groups):
        raise UsageError(
            f"middle SelectiveKernel splits channels in two; {inputs} channels in {shape.groups} groups do not split. "
            "Set middle.split=false or other widths."
        )


def _check_split_attention(middle: SplitAttention, shape: BlockShape) -> None:
    for channels, parts in ((shape.inner, shape.groups * middle.radix), (middle.hidden(shape.inner), shape.groups)):
        if channels % parts:
            raise UsageError(
                f"middle SplitAttention divides {shape.inner} channels by {shape.groups} groups and radix "
                f"{middle.radix}, and its {middle.hidden(shape.inner)} hidden channels by the groups: choose widths "
                "that are multiples of both."
            )
