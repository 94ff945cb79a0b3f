"""The catalog of networks by name, a line each. Names follow torchvision and timm."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

from resnets.core.errors import UsageError, lookup
from resnets.models.spec import Spec
from resnets.models.with_heads import WITH_HEADS
from resnets.nn.middles import Res2Net, SelectiveKernel, SplitAttention

# Depths of table 1 of He et al. 2015.
_18, _34, _101, _152 = (2, 2, 2, 2), (3, 4, 6, 3), (3, 4, 23, 3), (3, 8, 36, 3)
_26, _50 = _18, _34
_14, _200, _269 = (1, 1, 1, 1), (3, 24, 36, 3), (3, 30, 48, 8)
_CIFAR_WIDTHS = (16, 32, 64)


def _basic(depths: tuple[int, ...], **fields: Any) -> Spec:
    return Spec(block="basic", depths=depths, **fields)


def _bottleneck(depths: tuple[int, ...], **fields: Any) -> Spec:
    return Spec(block="bottleneck", depths=depths, **fields)


def _d(spec: Spec) -> Spec:
    """ResNet-D (He et al. 2019, 1812.01187, figure 2): a deep stem and shortcuts that pool."""
    return replace(spec, stem="deep", shortcut="D")


def _t(spec: Spec) -> Spec:
    """ResNet-D with timm's tiered stem."""
    return replace(spec, stem="tiered", shortcut="D")


def _v2_basic(depths: tuple[int, ...]) -> Spec:
    """Basic pre-activation blocks as timm has them."""
    return _basic(depths, preactivation=True, shares_first_activation=False)


def _rs(depths: tuple[int, ...]) -> Spec:
    """Bello et al. 2021 (2103.07579), table 3: ResNet-D with a convolution as the stem's pool, and gates."""
    return _d(_bottleneck(depths, stem_pool="conv", gate="se", gate_reduction=4))


def _bit(depths: tuple[int, ...], factor: int) -> Spec:
    """Big Transfer (Kolesnikov et al. 2020, 1912.11370): standardised weights, group norm, `factor` times as wide."""
    spec = _bottleneck(depths, preactivation=True, norm="group", standardized=True)
    widths = tuple(width * factor for width in spec.widths)
    return replace(spec, widths=widths, stem_width=64 * factor, stem_pool="zero-padded max")


def _cifar(layers: int) -> Spec:
    """He et al. 2015, section 4.2: 6n + 2 layers, option A throughout."""
    depths = ((layers - 2) // 6,) * 3
    return Spec(depths=depths, widths=_CIFAR_WIDTHS, stem="cifar", stem_width=16, shortcut="A", classes=10)


def _cifar_preact_bottleneck(layers: int) -> Spec:
    """He et al. 2016: 9n + 2 layers of bottlenecks, which need projections."""
    depths = ((layers - 2) // 9,) * 3
    return replace(_cifar(layers), block="bottleneck", depths=depths, preactivation=True, shortcut="B")


def _wide(layers: int, factor: int) -> Spec:
    """Zagoruyko and Komodakis 2016: 6n + 4 layers, `factor` times as wide."""
    depths, widths = ((layers - 4) // 6,) * 3, tuple(w * factor for w in _CIFAR_WIDTHS)
    return replace(_cifar(layers), depths=depths, widths=widths, preactivation=True, shortcut="B")


def _fast() -> Spec:
    """Three residual blocks for fast/cifar10, after the speedruns' nets (Page 2018; Jordan 2024)."""
    widths = (64, 256, 256)
    stem = Spec(depths=(1, 1, 1), widths=widths, stem="whitened", classes=10)
    return replace(stem, shortcut="D", stride_in="max pool", activation="gelu", norm_momentum=0.4, pool="max")


CATALOG: dict[str, Spec] = {
    # He et al. 2015, table 1; v1.5 bottlenecks as in torchvision, then the paper's own
    "resnet18": _basic(_18),
    "resnet34": _basic(_34),
    "resnet50": _bottleneck(_50),
    "resnet101": _bottleneck(_101),
    "resnet152": _bottleneck(_152),
    "resnet50_v1": _bottleneck(_50, stride_in="1x1"),
    "resnet101_v1": _bottleneck(_101, stride_in="1x1"),
    "resnet152_v1": _bottleneck(_152, stride_in="1x1"),
    # plain nets of the same depths, and the shortcut options of table 3
    "plain18": _basic(_18, shortcut="none"),
    "plain34": _basic(_34, shortcut="none"),
    "resnet34_a": _basic(_34, shortcut="A"),
    "resnet34_c": _basic(_34, shortcut="C"),
    # successors on ImageNet
    "resnext50_32x4d": _bottleneck(_50, groups=32, group_width=4),
    "resnext101_32x8d": _bottleneck(_101, groups=32, group_width=8),
    "resnext101_64x4d": _bottleneck(_101, groups=64, group_width=4),
    "wide_resnet50_2": _bottleneck(_50, group_width=128),
    "wide_resnet101_2": _bottleneck(_101, group_width=128),
    "seresnet50": _bottleneck(_50, gate="se"),
    "resnet50d": _d(_bottleneck(_50)),
    "resnetv2_50": _bottleneck(_50, preactivation=True),
    # timm's: other depths, deep stems (c; s: twice as wide), with pooled shortcuts (d), tiered (t), group norm
    "resnet26": _bottleneck(_26),
    "resnet200": _bottleneck(_200),
    "resnet50c": _bottleneck(_50, stem="deep"),
    "resnet101c": _bottleneck(_101, stem="deep"),
    "resnet152c": _bottleneck(_152, stem="deep"),
    "resnet50s": _bottleneck(_50, stem="deep", stem_width=128),
    "resnet101s": _bottleneck(_101, stem="deep", stem_width=128),
    "resnet152s": _bottleneck(_152, stem="deep", stem_width=128),
    "resnet18d": _d(_basic(_18)),
    "resnet34d": _d(_basic(_34)),
    "resnet26d": _d(_bottleneck(_26)),
    "resnet101d": _d(_bottleneck(_101)),
    "resnet152d": _d(_bottleneck(_152)),
    "resnet200d": _d(_bottleneck(_200)),
    "resnet10t": _t(_basic(_14)),
    "resnet14t": _t(_bottleneck(_14)),
    "resnet26t": _t(_bottleneck(_26)),
    "resnet50t": _t(_bottleneck(_50)),
    "resnet50_gn": _bottleneck(_50, norm="group"),
    "resnext50d_32x4d": _d(_bottleneck(_50, groups=32, group_width=4)),
    "resnext101_32x4d": _bottleneck(_101, groups=32, group_width=4),
    "resnext101_32x16d": _bottleneck(_101, groups=32, group_width=16),
    "resnext101_32x32d": _bottleneck(_101, groups=32, group_width=32),
    "resnetv2_18": _v2_basic(_18),
    "resnetv2_34": _v2_basic(_34),
    "resnetv2_18d": _d(_v2_basic(_18)),
    "resnetv2_34d": _d(_v2_basic(_34)),
    "resnetv2_101": _bottleneck(_101, preactivation=True),
    "resnetv2_152": _bottleneck(_152, preactivation=True),
    "resnetv2_50d": _d(_bottleneck(_50, preactivation=True)),
    "resnetv2_101d": _d(_bottleneck(_101, preactivation=True)),
    "resnetv2_152d": _d(_bottleneck(_152, preactivation=True)),
    "resnetv2_50t": _t(_bottleneck(_50, preactivation=True)),
    "resnetv2_50d_gn": _d(_bottleneck(_50, preactivation=True, norm="group")),
    # gates (see `nn.gates`)
    "seresnet18": _basic(_18, gate="se", gate_divisor=8),
    "seresnet34": _basic(_34, gate="se", gate_divisor=8),
    "seresnet101": _bottleneck(_101, gate="se"),
    "seresnet152": _bottleneck(_152, gate="se"),
    "seresnet152d": _d(_bottleneck(_152, gate="se")),
    "seresnext26d_32x4d": _d(_bottleneck(_26, gate="se", groups=32, group_width=4)),
    "seresnext50_32x4d": _bottleneck(_50, gate="se", groups=32, group_width=4),
    "seresnext101_32x4d": _bottleneck(_101, gate="se", groups=32, group_width=4),
    "seresnext101_32x8d": _bottleneck(_101, gate="se", groups=32, group_width=8),
    "seresnext101d_32x8d": _d(_bottleneck(_101, gate="se", groups=32, group_width=8)),
    "seresnext101_64x4d": _bottleneck(_101, gate="se", groups=64, group_width=4),
    "seresnet50t": _t(_bottleneck(_50, gate="se")),
    "seresnet200d": _d(_bottleneck(_200, gate="se")),
    "seresnet269d": _d(_bottleneck(_269, gate="se")),
    "seresnext26t_32x4d": _t(_bottleneck(_26, gate="se", groups=32, group_width=4)),
    "ecaresnetlight": _bottleneck((1, 1, 11, 3), gate="eca", shortcut="D"),
    "ecaresnet50d": _d(_bottleneck(_50, gate="eca")),
    "ecaresnet101d": _d(_bottleneck(_101, gate="eca")),
    "ecaresnet200d": _d(_bottleneck(_200, gate="eca")),
    "ecaresnet269d": _d(_bottleneck(_269, gate="eca")),
    "ecaresnet26t": _t(_bottleneck(_26, gate="eca")),
    "ecaresnet50t": _t(_bottleneck(_50, gate="eca")),
    "ecaresnext26t_32x4d": _t(_bottleneck(_26, gate="eca", groups=32, group_width=4)),
    "cbam_resnet18": _basic(_18, gate="cbam"),
    "cbam_resnet50": _bottleneck(_50, gate="cbam"),
    "gc_resnet50": _bottleneck(_50, gate="gc", gate_reduction=8),
    # low-pass filters in place of strides (Zhang 2019), timm's: a blur, or an average
    "resnetblur18": _basic(_18, antialias="blur"),
    "resnetblur50": _bottleneck(_50, antialias="blur"),
    "resnetblur50d": _d(_bottleneck(_50, antialias="blur")),
    "resnetblur101d": _d(_bottleneck(_101, antialias="blur")),
    "resnetaa34d": _d(_basic(_34, antialias="average")),
    "resnetaa50": _bottleneck(_50, antialias="average"),
    "resnetaa50d": _d(_bottleneck(_50, antialias="average")),
    "resnetaa101d": _d(_bottleneck(_101, antialias="average")),
    "seresnetaa50d": _d(_bottleneck(_50, antialias="average", gate="se")),
    "seresnextaa101d_32x8d": _d(_bottleneck(_101, antialias="average", gate="se", groups=32, group_width=8)),
    # ResNet-RS: Bello et al. 2021
    "resnetrs50": _rs(_50),
    "resnetrs101": _rs(_101),
    "resnetrs152": _rs(_152),
    "resnetrs200": _rs(_200),
    "resnetrs270": _rs((4, 29, 53, 4)),
    "resnetrs350": _rs((4, 36, 72, 4)),
    "resnetrs420": _rs((4, 44, 87, 4)),
    # Big Transfer: Kolesnikov et al. 2020
    "resnetv2_50x1_bit": _bit(_50, 1),
    "resnetv2_50x3_bit": _bit(_50, 3),
    "resnetv2_101x1_bit": _bit(_101, 1),
    "resnetv2_101x3_bit": _bit(_101, 3),
    "resnetv2_152x2_bit": _bit(_152, 2),
    "resnetv2_152x4_bit": _bit(_152, 4),
    # other middles of blocks (see `nn.middles`)
    "skresnet18": _basic(_18, middle=SelectiveKernel(reduction=8, divisor=16)),
    "skresnet34": _basic(_34, middle=SelectiveKernel(reduction=8, divisor=16)),
    "skresnet50": _bottleneck(_50, middle=SelectiveKernel()),
    "skresnet50d": _d(_bottleneck(_50, middle=SelectiveKernel())),
    "skresnext50_32x4d": _bottleneck(_50, middle=SelectiveKernel(split=False, divisor=32), groups=32, group_width=4),
    "res2net50_26w_4s": _bottleneck(_50, middle=Res2Net(scale=4), group_width=26),
    "res2net50_26w_6s": _bottleneck(_50, middle=Res2Net(scale=6), group_width=26),
    "res2net50_26w_8s": _bottleneck(_50, middle=Res2Net(scale=8), group_width=26),
    "res2net50_48w_2s": _bottleneck(_50, middle=Res2Net(scale=2), group_width=48),
    "res2net50_14w_8s": _bottleneck(_50, middle=Res2Net(scale=8), group_width=14),
    "res2net101_26w_4s": _bottleneck(_101, middle=Res2Net(scale=4), group_width=26),
    "res2net50d": _d(_bottleneck(_50, middle=Res2Net(scale=4), group_width=26)),
    "res2net101d": _d(_bottleneck(_101, middle=Res2Net(scale=4), group_width=26)),
    "res2next50": _bottleneck(_50, middle=Res2Net(scale=4), groups=8, group_width=4),
    "resnest14d": _d(_bottleneck(_14, middle=SplitAttention())),
    "resnest26d": _d(_bottleneck(_26, middle=SplitAttention())),
    "resnest50d": _d(_bottleneck(_50, middle=SplitAttention())),
    "resnest101e": _d(_bottleneck(_101, middle=SplitAttention(), stem_width=128)),
    "resnest200e": _d(_bottleneck(_200, middle=SplitAttention(), stem_width=128)),
    "resnest269e": _d(_bottleneck(_269, middle=SplitAttention(), stem_width=128)),
    "resnest50d_4s2x40d": _d(
        _bottleneck(_50, middle=SplitAttention(radix=4, pool_first=True), groups=2, group_width=40)
    ),
    "resnest50d_1s4x24d": _d(
        _bottleneck(_50, middle=SplitAttention(radix=1, pool_first=True), groups=4, group_width=24)
    ),
    # IBN-Net (see `nn.instance_batch`)
    "resnet18_ibn_a": _basic(_18, ibn="a"),
    "resnet34_ibn_a": _basic(_34, ibn="a"),
    "resnet50_ibn_a": _bottleneck(_50, ibn="a"),
    "resnet101_ibn_a": _bottleneck(_101, ibn="a"),
    "resnet18_ibn_b": _basic(_18, ibn="b"),
    "resnet34_ibn_b": _basic(_34, ibn="b"),
    "resnet50_ibn_b": _bottleneck(_50, ibn="b"),
    "resnet101_ibn_b": _bottleneck(_101, ibn="b"),
    # CIFAR: He et al. 2015, section 4.2, and the plain nets of figure 6
    "cifar_resnet20": _cifar(20),
    "cifar_resnet32": _cifar(32),
    "cifar_resnet44": _cifar(44),
    "cifar_resnet56": _cifar(56),
    "cifar_resnet110": _cifar(110),
    "cifar_resnet1202": _cifar(1202),
    "cifar_plain20": replace(_cifar(20), shortcut="none"),
    "cifar_plain32": replace(_cifar(32), shortcut="none"),
    "cifar_plain44": replace(_cifar(44), shortcut="none"),
    "cifar_plain56": replace(_cifar(56), shortcut="none"),
    "cifar_plain110": replace(_cifar(110), shortcut="none"),
    # pre-activation (He et al. 2016) and wide nets (Zagoruyko and Komodakis 2016) on CIFAR
    "cifar_preact110": replace(_cifar(110), preactivation=True),
    "cifar_preact164": _cifar_preact_bottleneck(164),
    "cifar_preact1001": _cifar_preact_bottleneck(1001),
    "wrn28_10": _wide(28, 10),
    "wrn40_4": _wide(40, 4),
    "cifar_fast": _fast(),
    # with the head of a task; `find` knows each of them of every other network on ImageNet, too
    "fcn_resnet50": WITH_HEADS["fcn_{}"](_bottleneck(_50)),
    "fcn_resnet101": WITH_HEADS["fcn_{}"](_bottleneck(_101)),
    "deeplabv3_resnet50": WITH_HEADS["deeplabv3_{}"](_bottleneck(_50)),
    "deeplabv3_resnet101": WITH_HEADS["deeplabv3_{}"](_bottleneck(_101)),
    "fasterrcnn_resnet50_fpn": WITH_HEADS["fasterrcnn_{}_fpn"](_bottleneck(_50)),
    "maskrcnn_resnet50_fpn": WITH_HEADS["maskrcnn_{}_fpn"](_bottleneck(_50)),
    "retinanet_resnet50_fpn": WITH_HEADS["retinanet_{}_fpn"](_bottleneck(_50)),
    "fasterrcnn_resnet50_c4": WITH_HEADS["fasterrcnn_{}_c4"](_bottleneck(_50)),
}


def find(name: str) -> Spec:
    """The spec called `name`: one of `CATALOG`, or one on ImageNet with the head of a task, such as "fcn_resnet18".

    Raises:
        UsageError: there is none; the message has the most similar names.
    """
    if name in CATALOG:
        return CATALOG[name]
    network, point, tag = name.removeprefix("timm/").partition(".")
    if name not in _with_heads() and network in CATALOG:  # timm's and its Hub's names of weights
        given = f", weights={f'timm:{tag}'!r}" if point else ""
        raise UsageError(f"No model is called {name!r}: did you mean resnets.create({network!r}{given})?")
    return lookup(_with_heads(), name, "model")


@cache
def _with_heads() -> dict[str, Spec]:
    """`CATALOG`, and each of its classifiers on ImageNet with the head of a task."""
    on_imagenet = {name: spec for name, spec in CATALOG.items() if spec.usual_size == 224 and spec.classes == 1000}
    with_heads = {
        pattern.format(name): make(spec) for pattern, make in WITH_HEADS.items() for name, spec in on_imagenet.items()
    }
    return {**CATALOG, **with_heads}
