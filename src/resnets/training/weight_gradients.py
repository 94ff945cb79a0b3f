"""The gradients of convolutions' weights on small maps, as matrix products, where the processor's own are slow.

On processors with AMX, oneDNN takes up to 14 times as long as the matrix products for the weights of many channels on
few positions, in bf16: the last stages of ImageNet's networks, most of all on small images. Everything else of a
convolution, its outputs and the gradients of its inputs, stays oneDNN's. benchmarks/weight_gradients.py measures both.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.overrides import TorchFunctionMode

CHANNELS, POSITIONS = 256, 64  # of the outputs: at least, and at most; beyond, oneDNN is as fast
Pair = tuple[int, int]


def on_small_maps(network: nn.Module, device: torch.device, precision: str) -> Callable[[], Any]:
    """Returns what makes a context in which a training step of `network` is faster, to be entered around forward and
    backward pass; one without effect where nothing is to be gained."""
    gains = (
        device.type == "cpu"
        and precision == "bf16"
        and bool(torch.cpu.get_capabilities().get("amx_bf16"))
        and any(isinstance(m, nn.Conv2d) and m.out_channels >= CHANNELS for m in network.modules())
    )
    return OnSmallMaps if gains else contextlib.nullcontext


class OnSmallMaps(TorchFunctionMode):
    """Context manager in which `torch.conv2d` computes the gradients of weights by `weight_gradient`, on small maps."""

    def __torch_function__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is torch.conv2d and not kwargs and len(args) == 7 and _is_small(*args):
            inputs, weight, _, stride, padding, dilation, _ = args
            dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else inputs.dtype
            return _Convolution.apply(inputs.to(dtype), weight.to(dtype), stride, padding, dilation)  # type: ignore[no-untyped-call]
        return func(*args, **(kwargs or {}))


def _is_small(
    inputs: Tensor, weight: Tensor, bias: Tensor | None, stride: Pair, padding: Pair | str, dilation: Pair, groups: int
) -> bool:
    if bias is not None or groups != 1 or isinstance(padding, str) or len(weight) < CHANNELS:
        return False
    if not (torch.is_grad_enabled() and weight.requires_grad) or inputs.ndim != 4:
        return False
    positions = 1
    for side, kernel, step, pad, spread in zip(
        inputs.shape[2:], weight.shape[2:], stride, padding, dilation, strict=True
    ):
        positions *= (side + 2 * pad - spread * (kernel - 1) - 1) // step + 1
    return positions <= POSITIONS


class _Convolution(Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, stride: Pair, padding: Pair, dilation: Pair) -> Tensor:
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
                gradient, inputs, weight, None, *ctx.geometry, False, (0, 0), 1, (True, False, False)
            )
        return of_inputs, weight_gradient(gradient, inputs, weight.shape, *ctx.geometry), None, None, None


def weight_gradient(
    gradient: Tensor, inputs: Tensor, shape: torch.Size, stride: Pair, padding: Pair, dilation: Pair
) -> Tensor:
    """Returns the gradient of a convolution's weight, a matrix product for each place of the kernel.

    Args:
        gradient: (N, outputs, H', W') of the convolution's outputs.
        inputs: (N, channels, H, W).
        shape: (outputs, channels, rows, columns) of the weight.
    """
    outputs, channels, rows, columns = shape
    high, wide = gradient.shape[2:]
    padded = F.pad(inputs.permute(0, 2, 3, 1), (0, 0, padding[1], padding[1], padding[0], padding[0]))
    of_outputs = gradient.permute(0, 2, 3, 1).reshape(-1, outputs).T
    found = gradient.new_empty(rows, columns, outputs, channels)
    for row in range(rows):
        for column in range(columns):
            top, left = row * dilation[0], column * dilation[1]
            seen = padded[
                :,
                top : top + (high - 1) * stride[0] + 1 : stride[0],
                left : left + (wide - 1) * stride[1] + 1 : stride[1],
            ]
            torch.mm(of_outputs, seen.reshape(-1, channels), out=found[row, column])
    laid_out = torch.empty(shape, dtype=found.dtype, device=found.device, memory_format=torch.channels_last)
    return laid_out.copy_(found.permute(2, 3, 0, 1))
