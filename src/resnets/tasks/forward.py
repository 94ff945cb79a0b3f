"""Feeding a network: the one place that decides layout and precision of a forward pass.

Training, evaluation and measurements all take them from here, so that a network computes the same, to the last bit,
wherever it is run.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn

from resnets.core.devices import memory_format

Network = TypeVar("Network", bound=nn.Module)


def place(network: Network, device: torch.device) -> Network:
    """Moves `network` to `device`, its kernels in the layout that `lay_out` gives images there."""
    return network.to(device, memory_format=memory_format(device))  # type: ignore[call-overload, no-any-return]


def lay_out(images: Tensor) -> Tensor:
    """Returns `images` (N, C, H, W) in the layout that is fastest on their device; a copy only if they have another."""
    return images.contiguous(memory_format=memory_format(images.device))


def forward(network: Callable[[Tensor], Tensor], images: Tensor, *, precision: str = "fp32") -> Tensor:
    """Returns the outputs of `network`, in whatever mode it is.

    Args:
        network: `place`d on the device of `images`, or a wrapper of such a network.
        images: (N, C, H, W) float32, normalised.
        precision: "fp32", or "bf16" for torch's autocast.
    """
    with computing(images.device, precision):
        return network(lay_out(images))


def computing(device: torch.device, precision: str) -> contextlib.AbstractContextManager[object]:
    """The context in which networks on `device` compute in `precision`; see `forward`."""
    return contextlib.nullcontext() if precision == "fp32" else torch.autocast(device.type, torch.bfloat16)
