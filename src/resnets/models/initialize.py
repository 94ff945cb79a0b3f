"""Initial weights. Each is a function of the seed and of the module's name alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar, overload

import numpy as np
import torch
from torch import Tensor, nn

from resnets.core import rng
from resnets.core.devices import float64_device
from resnets.core.errors import UsageError
from resnets.core.units import show_bytes
from resnets.models import counts
from resnets.models.box_heads import BoxHead
from resnets.models.heads import Head, LinearHead
from resnets.models.initialization import Initialization, ends_in_convolution
from resnets.models.resnet import ResNet, backbone_of, prefix_of
from resnets.models.spec import Spec
from resnets.nn.layers import FrozenBatchNorm

Network = TypeVar("Network", bound=nn.Module)

MOST_PARAMETERS = 2**33  # 32 GiB in float32

_CONVOLUTIONS = nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d
_SCALED = nn.GroupNorm | nn.LayerNorm | nn.InstanceNorm1d | nn.InstanceNorm2d | nn.InstanceNorm3d

WHITENING_EPS = 5e-4  # added to each variance


def create(spec: Spec, *, seed: int = 0, how: Initialization | None = None) -> ResNet:
    """A new classifier with initialised weights.

    Raises:
        UsageError: the network could not be trained from this initialisation, or is too large.
    """
    how = how or Initialization()
    how.check(spec)
    network = allocate(spec)
    initialize(network, seed=seed, how=how)
    return network


@overload
def allocate(spec: Spec) -> ResNet: ...
@overload
def allocate(spec: Spec, build: Callable[[Spec], Network]) -> Network: ...
def allocate(spec: Spec, build: Callable[[Spec], nn.Module] | None = None) -> nn.Module:
    """A network on the CPU whose weights are not set: several times faster where they are loaded or drawn next.

    Args:
        build: makes the network of `spec`, such as one with a task's head; None makes a classifier.

    Raises:
        UsageError: it has more than `MOST_PARAMETERS`, or `spec` is of no classifier and `build` is None.
    """
    if build is None and not isinstance(spec.head, LinearHead):
        raise UsageError(f"A network with {type(spec.head).__name__} is not a classifier, which this needs.")
    if (count := counts.parameters(spec)) > MOST_PARAMETERS:
        raise UsageError(
            f"A network of {count:,} parameters would take {show_bytes(4 * count)} for its weights alone: make it "
            "narrower or less deep."
        )
    with torch.device("meta"):
        network: nn.Module = ResNet(spec) if build is None else build(spec)
    for module in network.modules():  # what `to_empty` does; that one imports sympy, which takes a second
        for name, parameter in module.named_parameters(recurse=False):
            empty = torch.empty(parameter.shape, dtype=parameter.dtype)
            module.register_parameter(name, nn.Parameter(empty, parameter.requires_grad))
        for name, buffer in module.named_buffers(recurse=False):
            module.register_buffer(name, torch.empty(buffer.shape, dtype=buffer.dtype))
    return network


@torch.no_grad()
def initialize(network: nn.Module, *, seed: int, how: Initialization | None = None) -> None:
    """Sets every weight and buffer of `network`: scales of norms to 1, biases to 0, the others as `how` says.

    A convolution that gives logits is initialised as a linear layer is: by the fan of He et al., which few classes make
    small, its logits would be large.

    Args:
        network: a `ResNet`, or a task's network with one as its `backbone`.
    """
    how = how or Initialization()
    spec = backbone_of(network).spec
    outputs = spec.head.output_layers if spec.classes else {}
    for name, module in network.named_modules():
        rows = outputs.get(name)
        if rows is not None or isinstance(module, nn.Linear):
            of_layer = None if rows is None else rows.std or how.classifier_std
            _initialize_output(module, _generator(seed, name), of_layer)
        elif isinstance(module, _CONVOLUTIONS):
            std = _small_std(spec.head, name, module.weight) or _std(name, module.weight, how)
            normal = _generator(seed, name).standard_normal(tuple(module.weight.shape), np.float32)
            module.weight.copy_(torch.from_numpy(normal).mul_(std))
            if how.identity and module.groups == 1:
                nn.init.dirac_(module.weight[: module.in_channels])
        elif isinstance(module, _SCALED | nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
            nn.init.ones_(module.weight)
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
            module.reset_running_stats()
        if isinstance(module, FrozenBatchNorm):
            module.load_state_dict(FrozenBatchNorm(len(module.weight)).state_dict())
        if isinstance(getattr(module, "bias", None), nn.Parameter):
            nn.init.constant_(module.bias, 0.0 if rows is None else rows.bias)
    if how.zero_init_last:
        last = {"basic": 2, "bottleneck": 3}[spec.block]
        kind = "conv" if ends_in_convolution(spec) else "bn"
        for name, _ in spec.blocks():
            nn.init.zeros_(network.get_parameter(f"{prefix_of(network)}{name}.{kind}{last}.weight"))


def _std(name: str, weight: Tensor, how: Initialization) -> float:
    """The standard deviation of a convolution's weights after He et al. 2015."""
    inputs, outputs = nn.init._calculate_fan_in_and_fan_out(weight)
    pools = name.endswith(".conv_attn")  # by fan-out, one output would make an attention that sees one position
    return math.sqrt(2 / (inputs if how.fan == "fan_in" or pools else outputs))


def _small_std(head: Head, name: str, weight: Tensor) -> float | None:
    """That of a convolution in a detector's head that the head sets: in a pyramid no activation follows."""
    if not isinstance(head, BoxHead):
        return None
    if name.startswith("backbone.fpn."):
        return 1 / math.sqrt(weight[0].numel())
    return 0.01 if name.startswith(tuple(f"{each}." for each in head.SMALL)) else None


def _initialize_output(module: nn.Module, generator: np.random.Generator, std: float | None) -> None:
    """Sets the weights of the linear layer, or the convolution, that gives the logits."""
    weight = module.get_parameter("weight")
    if std is not None:
        normal = generator.standard_normal(tuple(weight.shape), np.float32)
        weight.copy_(torch.from_numpy(normal).mul_(std))
    else:
        uniform = generator.random(tuple(weight.shape), np.float32)
        weight.copy_(torch.from_numpy(2 * uniform - 1).mul_(1 / math.sqrt(weight[0].numel())))


@torch.no_grad()
def whiten(network: nn.Module, batches: Iterable[Tensor], total: Callable[[Tensor], Tensor] = lambda t: t) -> None:
    """Sets the filters of a whitened stem, so that their outputs on the images are uncorrelated with variance 1.

    The filters are the eigenvectors of the second moments of the windows, each divided by the square root of its
    eigenvalue, and their negatives (Page 2018; Jordan 2024, 2404.00498, section 3.2).

    Args:
        batches: of normalised images, (N, C, ...) each.
        total: sums a tensor over the ranks.
    """
    weight = backbone_of(network).get_parameter("conv1.0.weight")
    numbers = weight[0].numel()
    exact = float64_device(weight.device)
    moments = torch.zeros(numbers + 1, numbers, dtype=torch.float64, device=exact)  # the last row counts the windows
    for images in batches:
        windows = _windows(images, weight.shape[2:])
        moments[:-1] += (windows.T @ windows).to(exact).double()
        moments[-1] += len(windows)
    moments = total(moments).cpu()
    variances, vectors = torch.linalg.eigh(moments[:-1] / moments[-1])
    largest = vectors.gather(0, vectors.abs().argmax(0, keepdim=True))
    vectors = vectors * largest.sign()  # the sign of an eigenvector depends on the solver
    filters = vectors.T / torch.sqrt(variances.clamp(min=0) + WHITENING_EPS)[:, None]
    weight.copy_(torch.cat([filters, -filters]).reshape(weight.shape))


def _windows(images: Tensor, size: Sequence[int]) -> Tensor:
    """Every window of `size` in `images` (N, C, ...), (windows, C * numbers in a window)."""
    spatial = len(size)
    for dimension, length in enumerate(size, start=2):
        images = images.unfold(dimension, length, 1)
    images = images.movedim(1, spatial + 1)  # (N, *places, C, *window)
    return images.flatten(spatial + 1).flatten(0, spatial)


def _generator(seed: int, name: str) -> np.random.Generator:
    return rng.generator(seed, f"initialize {name}")
