"""Convolutions with standardised weights."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from timm.layers.std_conv import StdConv2d
from torch import nn

from resnets.nn.convolutions import make_plain
from resnets.nn.layers import Layers

_CONV: dict[int, Any] = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


@pytest.mark.parametrize(("kernel", "stride", "groups"), [(1, 1, 1), (3, 2, 1), (3, 1, 2), (7, 2, 1)])
def test_it_is_timms_in_values_and_gradients(kernel: int, stride: int, groups: int) -> None:
    ours = Layers(2, standardized=True).conv(4, 6, kernel, stride=stride, groups=groups).double()
    theirs = StdConv2d(4, 6, kernel, stride=stride, groups=groups, eps=1e-8).double()
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 4, 9, 8, dtype=torch.float64, requires_grad=True)
    y = ours(x)
    torch.testing.assert_close(y, theirs(x))
    weights = torch.randn_like(y)
    found, expected = (
        torch.autograd.grad((net(x) * weights).sum(), (x, net.get_parameter("weight"))) for net in (ours, theirs)
    )
    for own, their in zip(found, expected, strict=True):
        torch.testing.assert_close(own, their)


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_each_output_channel_has_weights_of_mean_0_and_variance_1(dimensions: int) -> None:
    conv = Layers(dimensions, standardized=True).conv(4, 6, 3)
    x = torch.randn(2, 4, *[5] * dimensions)
    v = conv.get_parameter("weight").detach().numpy().astype(np.float64)
    axes = tuple(range(1, v.ndim))
    w = (v - v.mean(axes, keepdims=True)) / np.sqrt(v.var(axes, keepdims=True) + 1e-8)
    expected = _CONV[dimensions](x, torch.from_numpy(w).float(), padding=1)
    with torch.no_grad():
        torch.testing.assert_close(conv(x), expected, rtol=1e-4, atol=1e-5)
        plain = nn.Sequential(copy.deepcopy(conv))
        make_plain(plain)
        assert type(plain[0]).__module__.startswith("torch.")
        torch.testing.assert_close(plain(x), conv(x))
        for made in (
            torch.jit.script(copy.deepcopy(conv)),
            torch.fx.symbolic_trace(conv),
            torch.export.export(conv, (x,)).module(),
        ):
            torch.testing.assert_close(made(x), conv(x))


def test_layers_of_gates_and_logits_which_have_a_bias_are_plain() -> None:
    layers = Layers(2, standardized=True)
    assert type(layers.conv(4, 6, 1, bias=True)) is nn.Conv2d
    assert type(layers.conv(4, 6, 1)) is not nn.Conv2d
