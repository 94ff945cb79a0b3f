"""A stage: the blocks between one change of the spatial size and the next (He et al. 2015, table 1)."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from resnets.nn.checkpointing import checkpoint_blocks


class Stage(nn.Sequential):
    """A sequence of blocks. (N, inputs, ...) to (N, outputs, ...).

    A network calls its stages as modules, so that hooks, `torch.compile`, FSDP and `net.layer4 = nn.Identity()` work
    on them, and `net.layer4[0]` is a block.

    Attributes:
        recomputed: lengths of the segments of blocks, from the first block on, that are recomputed in the backward
            pass (activation checkpointing). Only time and memory change: gradients are the same, running statistics
            are updated once, and stochastic layers draw the same masks from their keys. `torch.jit.script` ignores it.
    """

    __jit_ignored_attributes__: ClassVar = ["recomputed"]

    recomputed: tuple[int, ...] = ()

    def forward(self, input: Tensor) -> Tensor:
        x = input
        if torch.jit.is_scripting():  # type: ignore[attr-defined]
            # TorchScript has no lists of modules.
            for block in self:
                x = block(x)
            return x
        blocks, first = list(self), 0
        if self.training and torch.is_grad_enabled():
            for length in self.recomputed:
                x = checkpoint_blocks(blocks[first : first + length], x)
                first += length
        for block in blocks[first:]:
            x = block(x)
        return x
