"""Blocks, shortcuts, stems and norms, in 1, 2 and 3 dimensions."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F

from resnets.nn.blocks import Basic, Bottleneck, PreActBasic, PreActBottleneck
from resnets.nn.gates import SqueezeExcitation
from resnets.nn.layers import Layers
from resnets.nn.shapes import BlockShape, Norm, Shortcut, StrideIn
from resnets.nn.shortcuts import ZeroPad, build_shortcut

BLOCKS = (Basic, Bottleneck, PreActBasic, PreActBottleneck)
SHORTCUTS: tuple[Shortcut, ...] = ("none", "A", "B", "C", "D")


@pytest.mark.parametrize(("block", "dimensions"), list(itertools.product(BLOCKS, (1, 2, 3))))
@pytest.mark.parametrize("shortcut", SHORTCUTS)
def test_every_block_runs_in_every_dimension_with_every_shortcut(
    block: type[torch.nn.Module], dimensions: int, shortcut: Shortcut
) -> None:
    shape = BlockShape(
        inputs=4,
        outputs=8,
        inner=4,
        stride=2,
        shortcut=shortcut,
        gate="se",
        gate_reduction=2,
        dropout=0.1,
        drop_path=0.1,
    )
    module = block(Layers(dimensions), shape)
    x = torch.randn(3, 4, *[5] * dimensions, requires_grad=True)
    y = module(x)
    assert y.shape == (3, 8, *[3] * dimensions)
    y.square().sum().backward()
    assert all(p.grad is not None for p in module.parameters())
    assert x.grad is not None


@pytest.mark.parametrize(("stride_in", "first_odd_pixel_matters"), [("1x1", False), ("3x3", True)])
def test_the_place_of_the_stride_decides_what_a_bottleneck_sees(
    stride_in: StrideIn, first_odd_pixel_matters: bool
) -> None:
    shape = BlockShape(inputs=2, outputs=4, inner=2, stride=2, stride_in=stride_in)
    block = Bottleneck(Layers(2), shape).eval()
    x = torch.randn(1, 2, 8, 8)
    changed = x.clone()
    changed[:, :, 1::2, 1::2] += 1
    assert (not torch.equal(block(x), block(changed))) == first_odd_pixel_matters


def test_a_pool_that_strides_leaves_out_what_is_odd_and_so_does_its_shortcut() -> None:
    shape = BlockShape(inputs=2, outputs=4, inner=4, stride=2, stride_in="max pool", shortcut="D")
    block = Basic(Layers(2, activation="gelu"), shape)
    x = torch.randn(3, 2, 7, 5)
    assert block.bn1 is not None
    branch = F.gelu(block.bn1(F.max_pool2d(block.conv1(x)[:, :, :6, :4], 2)))
    shortcut = block.downsample[2](block.downsample[1](F.avg_pool2d(x[:, :, :6, :4], 2)))  # type: ignore[index]
    expected = F.gelu(block.bn2(block.conv2(branch)) + shortcut)
    assert expected.shape == (3, 4, 3, 2)
    torch.testing.assert_close(block(x), expected)


def test_a_plain_block_is_its_residual_branch_alone() -> None:
    shape = BlockShape(inputs=4, outputs=4, inner=4, shortcut="none")
    plain = Basic(Layers(2), shape).eval()
    x = torch.randn(2, 4, 6, 6)
    assert plain.bn1 is not None
    branch = plain.bn2(plain.conv2(F.relu(plain.bn1(plain.conv1(x)))))
    torch.testing.assert_close(plain(x), F.relu(branch))


def test_shortcut_a_subsamples_and_pads_with_zeros() -> None:
    x = torch.randn(2, 3, 5, 7)
    y = ZeroPad(3, 8, 2)(x)
    assert y.shape == (2, 8, 3, 4)
    torch.testing.assert_close(y[:, 2:5], x[:, :, ::2, ::2])
    assert not y[:, :2].any()
    assert not y[:, 5:].any()


def test_shortcut_a_leaves_the_layout_of_gradients_as_it_was() -> None:
    x = torch.randn(2, 4, 6, 6).contiguous(memory_format=torch.channels_last).requires_grad_()
    y = ZeroPad(4, 8, 2)(x)
    (gradient,) = torch.autograd.grad(y, x, torch.ones_like(y))
    assert gradient.is_contiguous(memory_format=torch.channels_last)
    expected = torch.zeros(6, 6)
    expected[::2, ::2] = 1
    torch.testing.assert_close(gradient, expected.expand(2, 4, 6, 6))


@pytest.mark.parametrize(("option", "weights"), [("A", 0), ("B", 0), ("C", 1), ("D", 0)])
def test_only_option_c_projects_where_nothing_changes(option: Shortcut, weights: int) -> None:
    shortcut = build_shortcut(Layers(2), option, 4, 4, 1)
    assert shortcut is not None
    assert sum(p.ndim > 1 for p in shortcut.parameters()) == weights


def test_a_preactivation_block_that_keeps_its_shape_has_a_clean_identity_path() -> None:
    block = PreActBasic(Layers(2), BlockShape(inputs=4, outputs=4, inner=4)).eval()
    torch.nn.init.zeros_(block.get_parameter("conv2.weight"))
    x = torch.randn(2, 4, 6, 6)
    assert torch.equal(block(x), x)


def test_the_first_preactivation_block_shares_its_activation() -> None:
    block = PreActBasic(Layers(2), BlockShape(inputs=4, outputs=4, inner=4, first=True)).eval()
    torch.nn.init.zeros_(block.get_parameter("conv2.weight"))
    x = torch.randn(2, 4, 6, 6)
    torch.testing.assert_close(block(x), F.relu(block.bn1(x)))


@pytest.mark.parametrize("norm", ["batch", "group", "none"])
def test_each_norm_does_what_torch_does(norm: Norm) -> None:
    x = torch.randn(4, 48, 5, 5)
    y = Layers(2, norm).normalization(48)(x)
    expected = {
        "batch": F.batch_norm(x, None, None, training=True),
        "group": F.group_norm(x, 24),  # the most groups up to 32 that divide 48
        "none": x,
    }
    torch.testing.assert_close(y, expected[norm])


def test_squeeze_and_excitation_is_its_equation() -> None:
    gate = SqueezeExcitation(Layers(2), 8, 2)
    x = torch.randn(2, 8, 3, 3)
    w1, b1, w2, b2 = (p.detach().flatten(1) if p.ndim > 1 else p.detach() for p in gate.parameters())
    s = torch.sigmoid(F.relu(x.mean((2, 3)) @ w1.T + b1) @ w2.T + b2)
    torch.testing.assert_close(gate(x), x * s[:, :, None, None])
