"""Low-pass filters with a stride, and max pools that count zeros around the image."""

from __future__ import annotations

import copy
import itertools
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from timm.layers.blur_pool import BlurPool2d
from torch import Tensor, nn

from resnets.nn.blocks import Basic, Bottleneck
from resnets.nn.layers import Layers
from resnets.nn.shapes import Antialias, BlockShape

_CONV: dict[int, Any] = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_MAX: dict[int, Any] = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(2, 3), (7, 8), (9, 2)])
def test_a_blur_is_timms_in_values_and_gradients(size: tuple[int, int], stride: int) -> None:
    ours, theirs = Layers(2).antialiasing("blur", stride), BlurPool2d(4, stride=stride).double()
    x = torch.randn(2, 4, *size, dtype=torch.float64, requires_grad=True)
    y = ours(x)
    torch.testing.assert_close(y, theirs(x))
    weights = torch.randn_like(y)
    (grad,), (expected,) = (torch.autograd.grad((net(x) * weights).sum(), x) for net in (ours, theirs))
    torch.testing.assert_close(grad, expected)
    assert not ours.state_dict()


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_a_blur_is_a_convolution_of_the_reflected_image(dimensions: int, stride: int) -> None:
    x = torch.randn(2, 3, *(5, 6, 4)[:dimensions], dtype=torch.float64)
    weight = tri = torch.tensor([0.25, 0.5, 0.25], dtype=torch.float64)
    for _ in range(dimensions - 1):
        weight = weight[..., None] * tri
    padded = F.pad(x, (1, 1) * dimensions, mode="reflect")
    expected = _CONV[dimensions](padded, weight.expand(3, 1, *weight.shape), stride=stride, groups=3)
    torch.testing.assert_close(Layers(dimensions).antialiasing("blur", stride)(x), expected)


def test_an_average_rounds_an_odd_size_up_and_is_nothing_at_stride_1() -> None:
    pool, x = Layers(2).antialiasing("average", 2), torch.randn(2, 3, 5, 4)
    torch.testing.assert_close(pool(x)[:, :, :2], F.avg_pool2d(x, 2))
    torch.testing.assert_close(pool(x)[:, :, 2], F.avg_pool1d(x[:, :, 4], 2))
    assert torch.equal(Layers(2).antialiasing("average", 1)(x), x)


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_a_zero_padded_max_pool_gives_zero_beside_numbers_below_zero(dimensions: int) -> None:
    layers, x = Layers(dimensions), torch.randn(2, 3, *[6] * dimensions) - 3
    pooled = layers.max_pool(zeros=True)(x)
    assert torch.equal(pooled, _MAX[dimensions](F.pad(x, (1, 1) * dimensions), 3, 2))
    assert not torch.equal(pooled, layers.max_pool()(x))
    assert torch.equal(layers.max_pool(zeros=True)(x.relu()), layers.max_pool()(x.relu()))


@pytest.mark.parametrize("antialias", ["blur", "average"])
@pytest.mark.parametrize(("block", "dimensions"), list(itertools.product((Basic, Bottleneck), (1, 2, 3))))
def test_a_filter_has_the_stride_of_its_block(block: type[nn.Module], dimensions: int, antialias: Antialias) -> None:
    shape = BlockShape(inputs=4, outputs=8, inner=4, stride=2, antialias=antialias)
    module = block(Layers(dimensions), shape)
    x = torch.randn(3, 4, *[5] * dimensions, requires_grad=True)
    y = module(x)
    assert y.shape == (3, 8, *[3] * dimensions)
    y.square().sum().backward()
    assert all(p.grad is not None for p in module.parameters())
    assert all(m.stride in (1, (1,) * dimensions) for name, m in module.named_children() if "conv" in name)
    check_that_tools_take(module.eval(), x.detach())


def test_a_filter_stays_where_dilation_takes_its_stride() -> None:
    shape = BlockShape(inputs=4, outputs=8, inner=4, dilation=2, antialias="blur")
    module, x = Bottleneck(Layers(2), shape).eval(), torch.randn(1, 4, 7, 6)
    assert module.bn2 is not None
    branch = F.relu(module.bn2(module.conv2(F.relu(module.bn1(module.conv1(x))))))
    branch = module.bn3(module.conv3(BlurPool2d(4, stride=1)(branch)))
    assert module.downsample is not None
    torch.testing.assert_close(module(x), F.relu(branch + module.downsample(x)))


def check_that_tools_take(module: nn.Module, x: Tensor) -> None:
    """Script, FX and export give what `module` gives."""
    with torch.no_grad():
        expected = module(x)
        for made in (
            torch.jit.script(copy.deepcopy(module)),
            torch.fx.symbolic_trace(module),
            torch.export.export(module, (x,)).module(),
        ):
            torch.testing.assert_close(made(x), expected)
