"""What to do when memory runs out."""

from __future__ import annotations

import contextlib

import torch

from resnets.data.batches import Batches
from resnets.nn.stochastic import deal
from resnets.training.loop import Training


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` says so; on the CPU torch has no class of its own for it."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "DefaultCPUAllocator" in str(error)


def advice(training: Training, batches: Batches) -> str:
    """Which group of samples would fit, tried here and now."""
    group = training.group
    text = f"Out of memory with {training.piece} samples at a time on {training.device}."
    smaller = [size for size in range(group - 1, 1, -1) if training.recipe.batch % size == 0]
    fitting = next((size for size in smaller if size < training.piece and _fits(training, batches, size)), None)
    if fitting is None:
        return f"{text} Not even 2 would fit: take smaller pictures, a smaller model or precision=bf16."
    return (
        f"{text} {fitting} fit: train anew with group={fitting}, which gives the same batches of "
        f"{training.recipe.batch} (batch norm then sees {fitting} samples at a time). Smaller pictures, a smaller "
        "model or precision=bf16 help as well."
    )


def _fits(training: Training, batches: Batches, size: int) -> bool:
    network, views = training.network, batches.preprocessing
    training.optimizer.zero_grad(set_to_none=True)
    if training.device.type == "cuda":
        torch.cuda.empty_cache()
    buffers = [buffer.clone() for buffer in network.buffers()]
    try:
        images = torch.zeros((size, views.channels, views.crop, views.crop), device=training.device)
        deal(network, torch.zeros(size, dtype=torch.int64, device=training.device))
        with training.autocast():
            outputs = network.train()(images.contiguous(memory_format=torch.channels_last))
        outputs.float().sum().backward()
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return False
    finally:
        training.optimizer.zero_grad(set_to_none=True)
        with contextlib.suppress(RuntimeError):
            torch._foreach_copy_(list(network.buffers()), buffers)
    return True
