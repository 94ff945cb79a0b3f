"""The architecture of a network as frozen data: it is written as JSON, counted without torch, and built by `ResNet`."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from resnets.core.config import OMITTED_BY_DEFAULT, UNTAGGED_FIRST
from resnets.core.errors import UsageError
from resnets.core.typed import checked
from resnets.models.heads import Head, LinearHead
from resnets.models.part_rules import check_antialias, check_parts, check_stem_pool, checked_middle
from resnets.nn.middles import Middle
from resnets.nn.shapes import (
    IBN,
    STEM_STRIDES,
    Activation,
    Antialias,
    Block,
    BlockShape,
    Gate,
    Norm,
    Pool,
    Shortcut,
    Stem,
    StemPool,
    StrideIn,
    ibn_of_block,
)

# Far more than any published network has, and counted in under a second. Each stage halves the size.
MOST_BLOCKS, MOST_STAGES, MOST_CHANNELS = 2_000, 32, 2**24

EXPANSION: dict[Block, int] = {"basic": 1, "bottleneck": 4}


@dataclass(frozen=True, kw_only=True)
@checked
class Spec:
    """The architecture of a residual network.

    Args:
        block: "basic" (two 3x3) or "bottleneck" (1x1, 3x3, 1x1 with four times the width).
        depths: blocks in each stage.
        widths: channels of the 3x3 convolutions of each stage, before groups and expansion.
        stem, stem_width: what comes before the blocks (see `nn.stems`), and its output channels.
        preactivation: norm and activation before each convolution (He et al. 2016) instead of after.
        shortcut: the option of `nn.shortcuts`; "none" makes a plain net.
        stride_in: the layer that has the stride. In bottlenecks "1x1" as in the paper (v1), or "3x3" as in torchvision
            and nearly all public weights (v1.5). In basic blocks "3x3", the first, or "max pool", a pool of 2 after
            it, which drops the last row and column of an odd size (Page 2018). The shapes of the weights are the same,
            so that those of one option load for another, where they give wrong results.
        groups, group_width: of a bottleneck's 3x3: `width * group_width // 64 * groups` channels in `groups`
            groups (Xie et al. 2017; torchvision's width_per_group).
        gate, gate_reduction: what scales the end of each branch, and the branch's channels by the gate's hidden ones:
            "se" (squeeze-and-excitation, Hu et al. 2018, reduction 16), "eca" (efficient channel attention, Wang et
            al. 2020, which has no hidden channels), "cbam" (Woo et al. 2018, 16) or "gc" (global context, Cao et al.
            2019, 8); see `nn.gates`.
        activation: "relu", or "gelu" (Hendrycks and Gimpel 2016); that of a gate is always ReLU. Weights of a file that
            does not name its activation load for either.
        norm, norm_eps, norm_momentum: kind of normalisation ("frozen" is batch norm with fixed scales and statistics,
            for pretrained weights and small batches), the number added to the variance, and the weight of a new batch
            in the running statistics.
        dropout: rate between a block's convolutions (Zagoruyko and Komodakis 2016).
        drop_path: rate of the last block's stochastic depth; it rises linearly to there (Huang et al. 2016, eq. 4).
        output_stride: where given, later stages dilate instead of striding beyond it (Chen et al. 2017).
        pool: the global pool before the classifier, "average" or "max"; "none" (needs 0 classes) leaves it out.
        dimensions: spatial dimensions of the input: 1, 2 or 3.
        channels: of the input.
        classes: number of logits, of each pixel where the head is for pixels; 0 leaves the classifier out.
        gate_divisor: the gate's hidden channels are rounded to a multiple of it; 8 in timm's "se", which shows in
            narrow blocks.
        stem_pool: the pool after a stem of stride 4: "max", "zero-padded max" as in BiT (Kolesnikov et al. 2020,
            1912.11370), or "conv", a strided convolution with norm and activation (ResNet-RS: Bello et al. 2021,
            2103.07579, section 4.2).
        antialias: "blur" or "average" puts a low-pass filter after the activation of each 3x3 convolution that would
            have a stride, which the filter has then, and in the stem's pool (Zhang 2019, 1904.11486; timm's resnetblur
            and resnetaa). Shortcuts stay. Where `output_stride` takes a stride away, the filter keeps stride 1.
        standardized: whether the weights of convolutions are standardised (Qiao et al. 2019, 1903.10520), as in BiT
            with group norm.
        shares_first_activation: whether the shortcut of a pre-activation net's first block starts after that block's
            norm and activation even where it is the identity (He et al. 2016, appendix), or before (timm).
        middle: what stands in place of a bottleneck's 3x3 convolution (of the first one, in basic blocks):
            `SelectiveKernel`, `Res2Net` or `SplitAttention` (ResNeSt); see `nn.middles`. With `Res2Net` the 1x1
            convolutions have `scale` times the channels that widths, groups and group_width give.
        ibn: "a" or "b" puts instance norm beside batch norm in all stages but the last, or at the end of the first two
            (IBN-Net: Pan et al. 2018, 1807.09441); see `nn.instance_batch`.
        head: what a task puts on the network.

    Raises:
        UsageError: a value out of range, or two that exclude each other.
    """

    block: Block = "basic"
    depths: tuple[int, ...] = (2, 2, 2, 2)
    widths: tuple[int, ...] = (64, 128, 256, 512)
    stem: Stem = "imagenet"
    stem_width: int = 64
    preactivation: bool = False
    shortcut: Shortcut = "B"
    stride_in: StrideIn = "3x3"
    groups: int = 1
    group_width: int = 64
    gate: Gate = "none"
    gate_reduction: int = 16
    activation: Activation = "relu"
    norm: Norm = "batch"
    norm_eps: float = 1e-5
    norm_momentum: float = 0.1
    dropout: float = 0.0
    drop_path: float = 0.0
    output_stride: int | None = None
    pool: Pool = "average"
    dimensions: int = 2
    channels: int = 3
    classes: int = 1000
    gate_divisor: int = field(default=1, metadata=OMITTED_BY_DEFAULT)
    stem_pool: StemPool = field(default="max", metadata=OMITTED_BY_DEFAULT)
    antialias: Antialias = field(default="none", metadata=OMITTED_BY_DEFAULT)
    standardized: bool = field(default=False, metadata=OMITTED_BY_DEFAULT)
    shares_first_activation: bool = field(default=True, metadata=OMITTED_BY_DEFAULT)
    middle: Middle | None = field(default=None, metadata=OMITTED_BY_DEFAULT)
    ibn: IBN = field(default="none", metadata=OMITTED_BY_DEFAULT)
    head: Head = field(default=LinearHead(), metadata=OMITTED_BY_DEFAULT | UNTAGGED_FIRST)

    def __post_init__(self) -> None:
        if self.middle is not None:
            object.__setattr__(self, "middle", checked_middle(self.middle))
        counts = (*self.depths, *self.widths, self.stem_width, self.groups, self.group_width)
        if not all(n >= 1 for n in (*counts, self.gate_reduction, self.gate_divisor, self.channels)):
            raise UsageError("depths, widths, groups, gate_reduction, gate_divisor and channels must be 1 or more.")
        if self.classes < 0:
            raise UsageError(f"classes must be 0 (no classifier) or more, not {self.classes}.")
        if max(len(self.depths), len(self.widths)) > MOST_STAGES or sum(self.depths) > MOST_BLOCKS:
            raise UsageError(
                f"{sum(self.depths):,} blocks in {len(self.depths):,} stages are too many: at most "
                f"{MOST_BLOCKS:,} blocks and {MOST_STAGES} stages are possible."
            )
        largest = max(*counts, self.gate_divisor, self.channels, self.classes)
        if largest > MOST_CHANNELS:
            raise UsageError(
                f"widths, groups, channels and classes must be at most {MOST_CHANNELS:,}, not {largest:,}."
            )
        if not self.depths or len(self.depths) != len(self.widths):
            raise UsageError(f"depths {self.depths} and widths {self.widths} need one number for each stage.")
        if self.dimensions not in (1, 2, 3):
            raise UsageError(f"dimensions must be 1, 2 or 3, not {self.dimensions}.")
        if not (0 <= self.dropout < 1 and 0 <= self.drop_path < 1):
            raise UsageError(f"dropout {self.dropout} and drop_path {self.drop_path} must be in [0, 1).")
        if not (0 < self.norm_eps < math.inf and 0 < self.norm_momentum <= 1):
            raise UsageError("norm_eps must be above 0 and finite, and norm_momentum in (0, 1].")
        if self.block == "basic" and (self.groups, self.group_width) != (1, 64):
            raise UsageError("groups and group_width belong to bottlenecks; basic blocks have none.")
        if self.gate_divisor != 1 and self.gate in ("none", "eca"):
            raise UsageError(f"gate_divisor rounds a gate's hidden channels; gate {self.gate} has none.")
        if self.stride_in == "max pool" and (self.block != "basic" or self.preactivation):
            raise UsageError("stride_in 'max pool' belongs to basic blocks without pre-activation.")
        if self.stride_in == "max pool" and self.shortcut not in ("D", "none"):
            raise UsageError(f"stride_in 'max pool' needs a shortcut that pools too: D, or none, not {self.shortcut}.")
        check_stem_pool(self.stem_pool, self.stem, preactivation=self.preactivation)
        if self.antialias != "none":
            check_antialias(self.stem_pool, self.stem, self.stride_in, preactivation=self.preactivation)
        if not self.shares_first_activation and not self.preactivation:
            raise UsageError("shares_first_activation=false belongs to pre-activation nets (preactivation=true).")
        if self.drop_path and self.shortcut == "none":
            raise UsageError("drop_path drops residual branches; a plain net (shortcut none) has none.")
        if self.stem == "deep" and self.stem_width % 2:
            raise UsageError(f"the deep stem needs an even stem_width, not {self.stem_width}.")
        if self.stem == "tiered" and self.stem_width % 8:
            raise UsageError(f"the tiered stem needs a stem_width that is a multiple of 8, not {self.stem_width}.")
        if self.shortcut == "A" and any(b < a for a, b in itertools.pairwise(self.stage_channels.values())):
            raise UsageError("shortcut A can add channels but not drop them; widen the stages or use B.")
        self.head.check(self.classes, self.pool, len(self.depths))
        if self.ibn != "none" or self.middle is not None:
            shapes = [shape for _, shape in self.blocks()]
            check_parts(shapes, self.ibn, self.norm, basic=self.block == "basic", preactivation=self.preactivation)
        if self.output_stride is not None and self.output_stride not in self._reachable_strides():
            known = ", ".join(map(str, self._reachable_strides()))
            raise UsageError(
                f"output_stride {self.output_stride} is not possible for this network: choose from {known}."
            )

    @property
    def usual_size(self) -> int:
        """The usual height and width of images for networks with this stem, in pixels."""
        return 32 if self.stem in ("cifar", "whitened") else 224

    @property
    def least_size(self) -> int:
        """The smallest height and width at which no layer's output is empty, in pixels.

        Instance norm needs more than one position in each map.
        """
        size = 1
        for _, block in reversed(list(self.blocks())):
            size = block.least_input(size, self.dimensions, basic=self.block == "basic")
        if self.stem == "whitened":
            return 2 * (max(size, 2) if self.ibn == "b" else size) + 1
        conv_stride, pool_stride = STEM_STRIDES[self.stem]
        if pool_stride > 1:
            size = size * pool_stride if self.antialias == "average" else (size - 1) * pool_stride + 1
            if self.antialias == "blur":
                size = max(size, 2)
        if self.ibn == "b":
            size = max(size, 2)
        return (size - 1) * conv_stride + 1

    @property
    def stage_channels(self) -> dict[str, int]:
        """Channels of each feature map of `ResNet.features`, from "C1" (the stem) on."""
        expansion = EXPANSION[self.block]
        return {"C1": self.stem_width} | {f"C{i + 2}": w * expansion for i, w in enumerate(self.widths)}

    @property
    def num_features(self) -> int:
        """Channels of the last feature map."""
        return list(self.stage_channels.values())[-1]

    @property
    def stage_strides(self) -> dict[str, int]:
        """The stride of each feature map of `ResNet.features`: input pixels per pixel of the feature map.

        A size that is not a multiple is rounded up; after max pools with the stride and a whitened stem, down.
        """
        conv_stride, pool_stride = STEM_STRIDES[self.stem]
        strides, stride = {"C1": conv_stride}, conv_stride * pool_stride
        for name, block in self.blocks():
            stride *= block.stride
            strides[f"C{stage_of(name) + 1}"] = stride
        return strides

    @property
    def stage_modules(self) -> dict[str, str]:
        """The name of the child of `ResNet` whose output is each feature map of `ResNet.features`.

        For what takes features by the names of modules: forward hooks, Grad-CAM, torchvision's
        `IntermediateLayerGetter` and `BackboneWithFPN`. In pre-activation nets the last one is the activation after
        the last stage, whose own output is the sum of the last addition.
        """
        last = f"C{len(self.depths) + 1}"
        names = {"C1": "conv1" if self.preactivation else "act"}
        names |= {f"C{i + 2}": f"layer{i + 1}" for i in range(len(self.depths))}
        return names | ({last: "act"} if self.preactivation else {})

    def blocks(self) -> Iterator[tuple[str, BlockShape]]:
        """Every block in order, with its name in the `state_dict`, such as "layer1.0"."""
        total, index = sum(self.depths), 0
        inputs = self.stem_width
        conv_stride, pool_stride = STEM_STRIDES[self.stem]
        stride_so_far, dilation = conv_stride * pool_stride, 1
        for stage, (depth, width) in enumerate(zip(self.depths, self.widths, strict=True)):
            outputs = width * EXPANSION[self.block]
            inner = width * self.group_width // 64 * self.groups if self.block == "bottleneck" else width
            stride = 1 if stage == 0 else 2
            first_dilation = dilation
            if self.output_stride is not None and stride_so_far * stride > self.output_stride:
                # The first block keeps the dilation of the stage before, as torchvision and DeepLab do.
                dilation, stride = dilation * stride, 1
            stride_so_far *= stride
            for number in range(depth):
                index += 1
                yield (
                    f"layer{stage + 1}.{number}",
                    BlockShape(
                        inputs=inputs,
                        outputs=outputs,
                        inner=inner,
                        stride=stride if number == 0 else 1,
                        dilation=first_dilation if number == 0 else dilation,
                        groups=self.groups,
                        stride_in=self.stride_in,
                        shortcut=self.shortcut,
                        gate=self.gate,
                        gate_reduction=self.gate_reduction,
                        gate_divisor=self.gate_divisor,
                        middle=self.middle,
                        ibn=ibn_of_block(self.ibn, self.depths, stage, number),
                        dropout=self.dropout,
                        drop_path=self.drop_path * index / total,
                        antialias=self.antialias if number == 0 and stage > 0 else "none",
                        first=index == 1 and self.shares_first_activation,
                    ),
                )
                inputs = outputs

    def _reachable_strides(self) -> list[int]:
        conv_stride, pool_stride = STEM_STRIDES[self.stem]
        return [conv_stride * pool_stride * 2**i for i in range(len(self.depths))]


def stage_of(block_name: str) -> int:
    """The stage, from 1, of a block called such as "layer1.0"."""
    return int(block_name.removeprefix("layer").split(".")[0])
