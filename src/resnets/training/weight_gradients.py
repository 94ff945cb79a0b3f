"""The gradients of convolutions' weights on small maps, as matrix products, in bf16 on the CPU.

Where a place of the kernel meets nothing but padding, as eight of nine do in a 3 x 3 convolution that strides over a
map of 1 x 1, oneDNN leaves its gradient uninitialised: not 0, but what was in memory (torch 2.15). And on processors
with AMX it takes 1.5 to 11 times as long as the matrix products for many channels on few positions: the last stages of
ImageNet's networks, most of all on small images. All else of a convolution, its outputs and the gradients of its
inputs, stays oneDNN's. benchmarks/weight_gradients.py measures both.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.overrides import TorchFunctionMode

CHANNELS, POSITIONS = 256, 64  # of the outputs: at least, and at most; beyond, oneDNN is as fast
CONVOLUTIONS = (torch.conv1d, torch.conv2d, torch.conv3d)
Sizes = tuple[int, ...]  # a number for each dimension


def on_small_maps(device: torch.device, precision: str) -> contextlib.AbstractContextManager[object]:
    """Returns a context to be entered around the forward and backward pass of a training step, again and again; one
    without effect where oneDNN does not compute in bf16."""
    return OnSmallMaps() if device.type == "cpu" and precision == "bf16" else contextlib.nullcontext()


class OnSmallMaps(TorchFunctionMode):
    """Context manager in which convolutions on small maps compute the gradients of weights by `weight_gradient`."""

    def __init__(self) -> None:
        super().__init__()
        self._is_faster = bool(torch.cpu.get_capabilities().get("amx_bf16"))

    def __torch_function__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in CONVOLUTIONS and not kwargs and len(args) == 7 and self._is_for(*args):
            inputs, weight, bias, *geometry = args
            dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else inputs.dtype
            outputs = _Convolution.apply(inputs.to(dtype), weight.to(dtype), *geometry)  # type: ignore[no-untyped-call]
            return outputs if bias is None else outputs + bias.to(dtype).view(-1, *[1] * (weight.ndim - 2))
        return func(*args, **(kwargs or {}))

    def _is_for(
        self, inputs: Tensor, weight: Tensor, bias: Tensor | None, stride: Sizes, padding: Sizes | str, dilation: Sizes,
        groups: int,
    ) -> bool:  # fmt: skip
        if isinstance(padding, str) or inputs.ndim != weight.ndim:
            return False
        if not (torch.is_grad_enabled() and weight.requires_grad):
            return False
        axes = list(zip(inputs.shape[2:], weight.shape[2:], stride, padding, dilation, strict=True))
        if any(_has_unseen_places(*axis) for axis in axes):
            return True
        if not self._is_faster or weight.ndim != 4 or bias is not None or groups != 1 or len(weight) < CHANNELS:
            return False
        return math.prod(_positions(*axis) for axis in axes) <= POSITIONS


def _positions(side: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    """The side of the outputs."""
    return (side + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


def _has_unseen_places(side: int, kernel: int, stride: int, padding: int, dilation: int) -> bool:
    """Whether a place of the kernel meets nothing but padding along one axis."""
    if side >= dilation * (kernel - 1) + stride:  # the usual case, in which each meets a part of the map
        return False
    ends = _positions(side, kernel, stride, padding, dilation) * stride
    return any(
        not any(0 <= at < side for at in range(place * dilation - padding, place * dilation - padding + ends, stride))
        for place in range(kernel)
    )


class _Convolution(Function):
    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, weight: Tensor, stride: Sizes, padding: Sizes, dilation: Sizes, groups: int
    ) -> Tensor:
        ctx.save_for_backward(inputs, weight)
        ctx.geometry = stride, padding, dilation, groups
        convolution: Any = CONVOLUTIONS[weight.ndim - 3]
        outputs: Tensor = convolution(inputs, weight, None, stride, padding, dilation, groups)
        return outputs

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        inputs, weight = ctx.saved_tensors
        *geometry, groups = ctx.geometry
        of_inputs = None
        if ctx.needs_input_grad[0]:
            of_inputs, _, _ = torch.ops.aten.convolution_backward(
                gradient, inputs, weight, None, *geometry, False, [0] * (weight.ndim - 2), groups, (True, False, False)
            )
        return of_inputs, weight_gradient(gradient, inputs, weight.shape, *ctx.geometry), None, None, None, None


def weight_gradient(
    gradient: Tensor, inputs: Tensor, shape: torch.Size, stride: Sizes, padding: Sizes, dilation: Sizes, groups: int = 1
) -> Tensor:
    """Returns the gradient of a convolution's weight, a matrix product for each place of the kernel and each group.

    Args:
        gradient: (N, outputs, ...) of the convolution's outputs.
        inputs: (N, channels, ...).
        shape: (outputs, channels / groups, ...) of the weight, in as many dimensions.
    """
    outputs, channels, *kernel = shape
    padded = F.pad(inputs.movedim(1, -1), [0, 0, *(pad for pad in reversed(padding) for _ in range(2))])
    of_outputs = gradient.movedim(1, -1).reshape(-1, groups, outputs // groups).permute(1, 2, 0)
    found = gradient.new_empty(*kernel, groups, outputs // groups, channels)
    for place in itertools.product(*map(range, kernel)):
        seen = padded
        for axis, (at, positions) in enumerate(zip(place, gradient.shape[2:], strict=True)):
            first, step = at * dilation[axis], stride[axis]
            seen = seen[(slice(None),) * (axis + 1) + (slice(first, first + (positions - 1) * step + 1, step),)]
        of_inputs = seen.reshape(-1, groups, channels).transpose(0, 1)
        for group in range(groups):  # torch.bmm takes twice as long
            torch.mm(of_outputs[group], of_inputs[group], out=found[place][group])
    memory_format = torch.channels_last if len(kernel) == 2 else torch.contiguous_format
    laid_out = torch.empty(shape, dtype=found.dtype, device=found.device, memory_format=memory_format)
    return laid_out.copy_(found.flatten(-3, -2).movedim((-2, -1), (0, 1)))
