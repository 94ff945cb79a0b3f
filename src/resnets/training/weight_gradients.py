"""The gradients of convolutions' weights on small maps, in bf16 on the CPU.

Where a place of the kernel meets nothing but padding, as eight of nine do in a 3 x 3 convolution that strides over a
map of 1 x 1, oneDNN leaves its gradient uninitialised: not 0, but what was in memory (torch 2.15). And on processors
with AMX it takes 1.5 to 11 times as long as matrix products for 3 x 3 kernels with many channels on few positions: the
last stages of ImageNet's networks, most of all on small images. All else of a convolution, its outputs and the
gradients of its inputs, stays oneDNN's. benchmarks/weight_gradients.py measures both.
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
Axis = tuple[int, int, int, int, int]  # the side of the inputs and of the kernel, stride, padding and dilation


def on_small_maps(device: torch.device, precision: str) -> contextlib.AbstractContextManager[object]:
    """Returns a context to be entered around the forward and backward pass of a training step, again and again; one
    without effect but in bf16 on the CPU."""
    return OnSmallMaps() if device.type == "cpu" and precision == "bf16" else contextlib.nullcontext()


class OnSmallMaps(TorchFunctionMode):
    """Context manager in which the weights of convolutions on small maps have gradients that are right, and fast."""

    def __init__(self) -> None:
        super().__init__()
        self._is_faster = bool(torch.cpu.get_capabilities().get("amx_bf16"))

    def __torch_function__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in CONVOLUTIONS and not kwargs and len(args) == 7:
            return self._convolution(func, *args)
        return func(*args, **(kwargs or {}))

    def _convolution(
        self, func: Any, inputs: Tensor, weight: Tensor, bias: Tensor | None, stride: Sizes, padding: Sizes | str,
        dilation: Sizes, groups: int,
    ) -> Tensor:  # fmt: skip
        learns = torch.is_grad_enabled() and weight.requires_grad
        if learns and not isinstance(padding, str) and inputs.ndim == weight.ndim:
            axes = list(zip(inputs.shape[2:], weight.shape[2:], stride, padding, dilation, strict=True))
            if self._is_faster and bias is None and groups == 1 and _is_small(weight, axes):
                dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else inputs.dtype
                found: Tensor = _Convolution.apply(inputs.to(dtype), weight.to(dtype), stride, padding, dilation)  # type: ignore[no-untyped-call]
                return found
            if any(_may_have_unseen_places(axis) for axis in axes):
                weight = torch.where(_seen_places(axes), weight, weight.detach())  # whose gradient is 0 elsewhere
        outputs: Tensor = func(inputs, weight, bias, stride, padding, dilation, groups)
        return outputs


def _is_small(weight: Tensor, axes: list[Axis]) -> bool:
    """Whether matrix products are faster."""
    if weight.ndim != 4 or len(weight) < CHANNELS:
        return False
    return math.prod(map(_positions, axes)) <= POSITIONS


def _positions(axis: Axis) -> int:
    """The side of the outputs."""
    side, kernel, stride, padding, dilation = axis
    return (side + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


def _may_have_unseen_places(axis: Axis) -> bool:
    """Whether places of the kernel may meet nothing but padding: not on a usual map, where each meets a part of it."""
    side, kernel, stride, _, dilation = axis
    return side < dilation * (kernel - 1) + stride


def _seen_places(axes: list[Axis]) -> Tensor:
    """Whether each place of the kernel meets a part of the map, in the shape of the kernel."""
    seen = torch.ones((), dtype=torch.bool)
    for axis in axes:
        side, kernel, stride, padding, dilation = axis
        ends = _positions(axis) * stride
        firsts = [place * dilation - padding for place in range(kernel)]
        along = torch.tensor([any(0 <= at < side for at in range(first, first + ends, stride)) for first in firsts])
        seen = seen.unsqueeze(-1) & along
    return seen


class _Convolution(Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, stride: Sizes, padding: Sizes, dilation: Sizes) -> Tensor:
        ctx.save_for_backward(inputs, weight)
        ctx.geometry = stride, padding, dilation
        return torch.conv2d(inputs, weight, None, stride, padding, dilation)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        inputs, weight = ctx.saved_tensors
        of_inputs = None
        if ctx.needs_input_grad[0]:
            of_inputs, _, _ = torch.ops.aten.convolution_backward(
                gradient, inputs, weight, None, *ctx.geometry, False, [0, 0], 1, (True, False, False)
            )
        return of_inputs, weight_gradient(gradient, inputs, weight.shape, *ctx.geometry), None, None, None


def weight_gradient(
    gradient: Tensor, inputs: Tensor, shape: torch.Size, stride: Sizes, padding: Sizes, dilation: Sizes
) -> Tensor:
    """Returns the gradient of a convolution's weight, a matrix product for each place of the kernel.

    Args:
        gradient: (N, outputs, H, W) of the convolution's outputs.
        inputs: (N, channels, h, w).
        shape: (outputs, channels, kh, kw) of the weight.
    """
    outputs, channels, *kernel = shape
    (vertical, horizontal), (height, width) = padding, gradient.shape[2:]
    padded = F.pad(inputs.permute(0, 2, 3, 1), [0, 0, horizontal, horizontal, vertical, vertical])
    of_outputs = gradient.permute(0, 2, 3, 1).reshape(-1, outputs).T
    found = gradient.new_empty(*kernel, outputs, channels)
    for row, column in itertools.product(*map(range, kernel)):
        top, left = row * dilation[0], column * dilation[1]
        seen = padded[:, top : top + (height - 1) * stride[0] + 1 : stride[0]]
        seen = seen[:, :, left : left + (width - 1) * stride[1] + 1 : stride[1]]
        torch.mm(of_outputs, seen.reshape(-1, channels), out=found[row, column])
    return found.permute(2, 3, 0, 1)
