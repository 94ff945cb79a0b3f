"""Convolutions whose weights are standardised (Qiao et al. 2019, 1903.10520, equations 6 to 8).

    w = (v - mean(v)) / sqrt(var(v) + eps)

where v are the weights of one output channel, which are learnt, and w those that it convolves with. BiT (Kolesnikov et
al. 2020, 1912.11370, section 2.1) has them with group norm. The keys of the `state_dict` are those of plain
convolutions, with v.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

EPS = 1e-8  # as in BiT


def _standardized(weight: Tensor, eps: float = EPS) -> Tensor:
    """(outputs, inputs / groups, ...) to the same shape, each output channel with mean 0 and variance 1.

    Batch norm of the rows gives timm's numbers to the bit, which a layer norm rounds otherwise.
    """
    rows = weight.flatten(1).unsqueeze(0)  # (1, outputs, weights of one)
    return F.batch_norm(rows, None, None, training=True, eps=eps).reshape(weight.shape)


class _Standardized(_ConvNd):
    def forward(self, input: Tensor) -> Tensor:
        return self._conv_forward(input, _standardized(self.weight), self.bias)


class StandardizedConv1d(_Standardized, nn.Conv1d): ...


class StandardizedConv2d(_Standardized, nn.Conv2d): ...


class StandardizedConv3d(_Standardized, nn.Conv3d): ...


STANDARDIZED_CONV = {1: StandardizedConv1d, 2: StandardizedConv2d, 3: StandardizedConv3d}
_PLAIN = {StandardizedConv1d: nn.Conv1d, StandardizedConv2d: nn.Conv2d, StandardizedConv3d: nn.Conv3d}


@torch.no_grad()
def make_plain(network: nn.Module) -> None:
    """Replaces each standardised convolution in `network` by a plain one, with the weights that it convolves with."""
    for name, module in list(network.named_modules()):
        if isinstance(module, _Standardized):
            conv = _PLAIN[type(module)](
                module.in_channels,
                module.out_channels,
                module.kernel_size,  # type: ignore[arg-type]
                stride=module.stride,  # type: ignore[arg-type]
                padding=module.padding,  # type: ignore[arg-type]
                dilation=module.dilation,  # type: ignore[arg-type]
                groups=module.groups,
                bias=False,
                device=module.weight.device,
                dtype=module.weight.dtype,
            )
            conv.weight.copy_(_standardized(module.weight))
            network.set_submodule(name, conv.train(module.training))
