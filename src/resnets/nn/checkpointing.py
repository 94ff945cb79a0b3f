"""Blocks that are computed twice in a training step, so that their activations need not be kept."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


def recompute(blocks: Sequence[nn.Module], x: Tensor) -> Tensor:
    """`blocks`, one after another, applied to `x`; the backward pass keeps `x` alone and applies them again."""

    def forward(x: Tensor) -> Tensor:
        for block in blocks:
            x = block(x)
        return x

    def contexts() -> tuple[contextlib.AbstractContextManager[None], contextlib.AbstractContextManager[None]]:
        return contextlib.nullcontext(), _statistics_at_rest(blocks)

    result: Tensor = checkpoint(forward, x, use_reentrant=False, context_fn=contexts)
    return result


@contextlib.contextmanager
def _statistics_at_rest(blocks: Sequence[nn.Module]) -> Iterator[None]:
    """Within, batch norm moves copies of its running statistics, which are then forgotten."""
    norms = [m for block in blocks for m in block.modules() if isinstance(m, _BatchNorm)]
    own = [dict(norm._buffers) for norm in norms]
    for norm, buffers in zip(norms, own, strict=True):
        norm._buffers.update({name: value.clone() for name, value in buffers.items() if value is not None})
    try:
        yield
    finally:
        for norm, buffers in zip(norms, own, strict=True):
            norm._buffers.update(buffers)
