"""First weights, each a function of seed and name alone."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch
from torch import nn

from resnets import draws
from resnets.models.resnet import ResNet
from resnets.models.spec import Spec

Fan = Literal["fan_in", "fan_out"]


def create(spec: Spec, *, seed: int = 0, fan: Fan = "fan_out", zero_init_last: bool = False) -> ResNet:
    """A new network with its first weights."""
    network = allocate(spec)
    initialize(network, seed=seed, fan=fan, zero_init_last=zero_init_last)
    return network


def allocate(spec: Spec) -> ResNet:
    """A network on the CPU whose weights are not set yet: several times faster than setting them twice."""
    with torch.device("meta"):
        network = ResNet(spec)
    for module in network.modules():  # as `to_empty`, which imports sympy: a second
        for name, parameter in module.named_parameters(recurse=False):
            empty = torch.empty(parameter.shape, dtype=parameter.dtype)
            module.register_parameter(name, nn.Parameter(empty, parameter.requires_grad))
        for name, buffer in module.named_buffers(recurse=False):
            module.register_buffer(name, torch.empty(buffer.shape, dtype=buffer.dtype))
    return network


@torch.no_grad()
def initialize(network: ResNet, *, seed: int, fan: Fan = "fan_out", zero_init_last: bool = False) -> None:
    """Sets every weight and buffer of `network`.

    Convolutions are normal with variance 2 / fan (He et al. 2015, 1502.01852, equations 10 and 14): "fan_in" as the
    ResNet paper cites it, "fan_out" as fb.resnet.torch and torchvision do. The classifier is uniform within
    1 / sqrt(inputs), torch's usual. Scales are 1, shifts and biases 0.

    Args:
        zero_init_last: start the last norm's scale of every branch at 0, so that each block begins as its shortcut
            (Goyal et al. 2017, section 5.1). In pre-activation nets, which end in a convolution, that is 0.
    """
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d):
            inputs, outputs = nn.init._calculate_fan_in_and_fan_out(module.weight)
            std = math.sqrt(2 / (inputs if fan == "fan_in" else outputs))
            normal = _generator(seed, name).standard_normal(tuple(module.weight.shape), np.float32)
            module.weight.copy_(torch.from_numpy(normal).mul_(std))
        elif isinstance(module, nn.Linear):
            uniform = _generator(seed, name).random(tuple(module.weight.shape), np.float32)
            module.weight.copy_(torch.from_numpy(2 * uniform - 1).mul_(1 / math.sqrt(module.in_features)))
        elif isinstance(module, nn.GroupNorm | nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
            nn.init.ones_(module.weight)
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
            module.reset_running_stats()
        if isinstance(getattr(module, "bias", None), nn.Parameter):
            nn.init.zeros_(module.bias)
    if zero_init_last:
        last = {"basic": 2, "bottleneck": 3}[network.spec.block]
        kind = "conv" if network.spec.preactivation or network.spec.norm == "none" else "bn"
        for name, _ in network.spec.blocks():
            nn.init.zeros_(network.get_parameter(f"{name}.{kind}{last}.weight"))


def _generator(seed: int, name: str) -> np.random.Generator:
    return draws.generator(seed, f"initialize {name}")
