"""The runtimes of torch: autocast to bf16, and batch norm folded into the convolutions, compiled or not."""

from __future__ import annotations

import shutil
from typing import Any

import torch
from torch import Tensor, nn

from resnets.core.errors import UsageError
from resnets.models.surgery import fold_norms


class Autocast(nn.Module):
    """The network under autocast to bf16."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        with torch.autocast(images.device.type, torch.bfloat16):
            logits: Tensor = self.network(images)
        return logits.float()


class Folded(nn.Module):
    """A copy of the network with batch norm folded into the convolutions.

    Args:
        precision: "fp32" or "bf16", to which the weights are converted.
        compiled: whether `torch.compile` compiles it, with frozen weights.

    Raises:
        UsageError: there is no C++ compiler to compile with.
    """

    def __init__(self, network: nn.Module, precision: str, *, compiled: bool) -> None:
        super().__init__()
        self.dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        self.inner: Any = fold_norms(network).to(self.dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if compiled:
            if not any(map(shutil.which, ("c++", "g++", "clang++", "cl"))):
                raise UsageError("Runtime compiled needs a C++ compiler (such as g++): install one, or take openvino.")
            self.inner = torch.compile(self.inner, options={"freezing": True})

    @torch.no_grad()  # torch.compile does not accept tensors made under inference_mode
    def forward(self, images: Tensor) -> Tensor:
        images = images.to(self.dtype, memory_format=torch.channels_last)
        logits: Tensor = self.inner(images)
        return logits.float()
