"""Activation checkpointing: activations are recomputed in the backward pass instead of being kept until then.

Chen et al. 2016 (1604.06174), on `torch.utils.checkpoint`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


def checkpoint_blocks(blocks: Sequence[nn.Module], x: Tensor) -> Tensor:
    """Applies `blocks` to `x` in order; for the backward pass only `x` is kept, and the blocks are applied again.

    Batch norm updates its running statistics once, in the first pass.
    """

    def forward(x: Tensor) -> Tensor:
        for block in blocks:
            x = block(x)
        return x

    def contexts() -> tuple[contextlib.AbstractContextManager[None], contextlib.AbstractContextManager[None]]:
        return contextlib.nullcontext(), _frozen_running_statistics(blocks)

    # A compiled graph recomputes without side effects, and torch.compile knows no context of this kind.
    context: dict[str, Any] = {} if torch.compiler.is_compiling() else {"context_fn": contexts}
    result: Tensor = checkpoint(forward, x, use_reentrant=False, **context)
    return result


@contextlib.contextmanager
def _frozen_running_statistics(blocks: Sequence[nn.Module]) -> Iterator[None]:
    """Context manager in which batch norm updates copies of its running statistics, which are then discarded."""
    norms = [m for block in blocks for m in block.modules() if isinstance(m, _BatchNorm)]
    originals = [dict(norm._buffers) for norm in norms]
    for norm, buffers in zip(norms, originals, strict=True):
        norm._buffers.update({name: value.clone() for name, value in buffers.items() if value is not None})
    try:
        yield
    finally:
        for norm, buffers in zip(norms, originals, strict=True):
            norm._buffers.update(buffers)
