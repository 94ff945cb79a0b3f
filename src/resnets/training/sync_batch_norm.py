"""Batch norm over a ghost batch that several ranks run together."""

from __future__ import annotations

import torch
import torch.distributed as dist
import torch.distributed.nn.functional as reducing
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def synchronize(network: nn.Module, ranks: dist.ProcessGroup) -> None:
    """Replaces every batch norm of `network` by one over the samples of all `ranks`; parameters and names stay."""
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if isinstance(child, _BatchNorm):
                setattr(parent, name, _synchronized(child, ranks))


def _synchronized(norm: _BatchNorm, ranks: dist.ProcessGroup) -> _BatchNorm:
    new = SynchronizedBatchNorm(norm.num_features, norm.eps, norm.momentum, process_group=ranks)
    for name, value in {**norm._parameters, **norm._buffers}.items():
        setattr(new, name, value)
    return new


class SynchronizedBatchNorm(_BatchNorm):
    """Batch norm over the samples of all ranks of a process group, on any device; each must have the same number.

    `nn.SyncBatchNorm` refuses the CPU, and on CUDA it reads the ranks' counts back to the host in every layer.
    """

    def __init__(self, channels: int, eps: float, momentum: float | None, process_group: dist.ProcessGroup) -> None:
        super().__init__(channels, eps, momentum)
        self.process_group = process_group

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, ...) to the same shape."""
        if not self.training:
            return super().forward(input)
        x = input if input.dtype == torch.float64 else input.float()
        over = [0, *range(2, x.ndim)]
        shape = [1, -1] + [1] * (x.ndim - 2)
        count = x.numel() // x.shape[1] * self.process_group.size()
        mean = self._sum(x.sum(over)) / count
        centered = x - mean.view(shape)
        variance = self._sum((centered * centered).sum(over)) / count
        scale = self.weight * torch.rsqrt(variance + self.eps)
        self._update_running(mean.detach(), variance.detach() * (count / (count - 1)))
        return torch.addcmul(self.bias.view(shape), centered, scale.view(shape)).to(input.dtype)

    def _sum(self, values: Tensor) -> Tensor:
        return reducing.all_reduce(values, group=self.process_group)  # type: ignore[no-any-return, no-untyped-call]

    @torch.no_grad()
    def _update_running(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        momentum = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(variance, momentum)

    def _check_input_dim(self, input: Tensor) -> None:
        if input.ndim < 2:
            raise ValueError(f"Batch norm takes (N, C, ...), not {tuple(input.shape)}.")
