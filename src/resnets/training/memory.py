"""Memory of training steps: keeping within a limit, and advice when memory runs out."""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import itertools
import mmap
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch

from resnets.core.devices import copy_all
from resnets.core.errors import UsageError
from resnets.core.units import parse_bytes
from resnets.data.loader import Batches
from resnets.models.box_heads import BoxHead
from resnets.models.memory import BytesPerElement, StepMemory, fit, predict
from resnets.models.resnet import backbone_of
from resnets.nn.stochastic import set_rng_keys
from resnets.tasks.forward import forward
from resnets.training.agreement import from_rank_0
from resnets.training.averages import copies_for
from resnets.training.distributed import Ranks
from resnets.training.environment import Environment
from resnets.training.recipe import LAMB, AdamW, Recipe
from resnets.training.step import Training

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4  # mallopt(3)


def in_use(device: torch.device) -> int:
    """Returns the bytes that this process uses: on the CPU all that is resident, on a GPU what torch has allocated."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    try:
        resident = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:  # not Linux
        return highest(device)
    return resident * mmap.PAGESIZE


def highest(device: torch.device) -> int:
    """Returns the most bytes that this process has used so far, counted as `in_use` does."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    import resource  # not on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def bytes_per_element(recipe: Recipe, precision: str) -> BytesPerElement:
    """Returns what one number takes under `recipe`."""
    return BytesPerElement(
        activation=2 if precision == "bf16" else 4,
        optimizer=8 if isinstance(recipe.optimizer, AdamW | LAMB) else 4 if recipe.optimizer.momentum else 0,
        average=4 * copies_for(recipe),
    )


def keep_within_limit(training: Training) -> StepMemory:
    """Sets which blocks are recomputed (activation checkpointing) to keep the recipe's limit; returns a step's memory.

    The `program` in it is what this process uses otherwise.

    Raises:
        UsageError: the limit cannot be kept.
    """
    recipe, network = training.recipe, backbone_of(training.network)
    size, numbers = recipe.largest_shape, bytes_per_element(recipe, training.precision)
    held = sum(t.numel() * t.element_size() for t in training.state().values() if t.device == training.device)
    if recipe.memory_limit is not None:
        left = room(recipe, training.device, held)
        network.recomputed = fit(network.spec, size, training.micro_batch, left, numbers=numbers)
    program = max(0, in_use(training.device) - held)
    return predict(
        network.spec, size, training.micro_batch, numbers=numbers, segments=network.recomputed, program=program
    )


def room(recipe: Recipe, device: torch.device, held: int = 0) -> int:
    """Returns the bytes that the recipe's limit leaves to a step.

    Args:
        held: bytes that the run's state takes of what this process uses.
    """
    assert recipe.memory_limit is not None
    importlib.import_module("torch._dynamo")  # some 200 MB, which the first activation checkpointing would import
    return parse_bytes(recipe.memory_limit) - max(0, in_use(device) - held)


def bn_batch_within_limit(recipe: Recipe, precision: str, bn_batch: int, left: int) -> int:
    """Returns the largest ghost batch, `bn_batch` or a part of it that divides it, whose step fits into `left` bytes.

    Raises:
        UsageError: none fits.
    """
    numbers = bytes_per_element(recipe, precision)
    refusal: UsageError | None = None
    for size in range(bn_batch, recipe.least_bn_batch - 1, -1):
        if bn_batch % size == 0:
            try:
                fit(recipe.model, recipe.largest_shape, size, left, numbers=numbers)
                return size
            except UsageError as error:
                refusal = error
    raise UsageError(f"memory_limit={recipe.memory_limit} cannot be kept: {refusal}")


def within_limit(recipe: Recipe, environment: Environment, ranks: Ranks) -> tuple[Recipe, list[str]]:
    """Returns the recipe with the largest ghost batch that its memory limit allows on every rank, and notes.

    Raises:
        UsageError: none fits.
    """
    bn_batch = recipe.bn_batch
    assert bn_batch is not None
    # What the program itself takes differs slightly between ranks: the one with the least memory left counts.
    left = min(ranks.gather(room(recipe, torch.device(environment.device))))
    fitting = from_rank_0(ranks, lambda: bn_batch_within_limit(recipe, environment.precision, bn_batch, left))
    if fitting == bn_batch:
        return recipe, []
    note = (
        f"{bn_batch} images at a time do not fit into memory_limit={recipe.memory_limit}: bn_batch is {fitting}, so "
        f"batch norm sees {fitting} of each batch of {recipe.batch} at a time, which changes the result."
    )
    return replace(recipe, bn_batch=fitting), [note]


@contextlib.contextmanager
def allocation(device: str, *, limited: bool) -> Iterator[None]:
    """Context manager that sets how the C library treats freed memory, for training on the CPU with glibc.

    By default it returns large blocks to the system, which has to clear their pages for the next step. Here they are
    kept, which makes a step 5 to 10% faster (docs/log.md). With a memory limit, blocks of 1 MiB and more are returned
    at once: between blocks that are kept, the activations of a deep network leave gaps of several times their size.
    """
    if device == "cpu" and limited:
        _allocate(_MMAP_THRESHOLD, 2**20)
    elif device == "cpu":
        _allocate(_MMAP_MAX, 0)
        _allocate(_TRIM_THRESHOLD, -1)
    try:
        yield
    finally:
        if device == "cpu":
            _allocate_as_usual()


def _allocate(option: int, value: int) -> None:
    with contextlib.suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL("libc.so.6").mallopt(option, value)


def _allocate_as_usual() -> None:
    """Sets about what glibc chooses by itself, and returns what was kept."""
    _allocate(_MMAP_THRESHOLD, 2**25)
    _allocate(_MMAP_MAX, 2**16)
    _allocate(_TRIM_THRESHOLD, 2**26)
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` says that memory ran out; on the CPU torch has no class of its own for it."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    words = (
        "DefaultCPUAllocator",
        "could not create a primitive",
        "MPS backend out of memory",
    )  # the second is oneDNN's
    return any(each in str(error) for each in words)


def advice(training: Training, batches: Batches) -> str:
    """Returns a message on what would fit; tries smaller ghost batches to find out."""
    if training.device.type == "cpu":
        _allocate_as_usual()
    text = f"Out of memory with {training.micro_batch} samples at a time on {training.device}."
    if isinstance(training.recipe.model.head, BoxHead):  # what it takes depends on the objects too
        fewer = f"bn_batch={training.micro_batch // 2}, " if training.micro_batch > 1 else ""
        return f"{text} Train anew with {fewer}smaller images (--size) or precision=bf16."
    sizes = [size for size in range(2, training.micro_batch) if training.recipe.batch % size == 0]
    # From small to large: once oneDNN has found no memory, it also refuses what would fit.
    fitting = max(itertools.takewhile(lambda size: _fits(training, batches, size), sizes), default=None)
    if fitting is None:
        return (
            f"{text} Not even 2 fit into the memory that is left: choose smaller images, a smaller model or "
            "precision=bf16."
        )
    return (
        f"{text} To go on to the same result in less memory and more time: resnets resume RUN --memory-limit 8GiB (or "
        f"what there is). Or train anew with bn_batch={fitting}, which was tried and fits (the batch stays "
        f"{training.recipe.batch}; batch norm then sees {fitting} samples at a time)."
    )


def _fits(training: Training, batches: Batches, size: int) -> bool:
    network, recipe = training.network, training.recipe
    training.optimizer.zero_grad()
    if training.device.type == "cuda":
        torch.cuda.empty_cache()
    buffers = [buffer.clone() for buffer in network.buffers()]
    try:
        inputs = torch.zeros((size, recipe.preprocessing.channels, *recipe.largest_shape), device=training.device)
        set_rng_keys(network, torch.zeros(size, dtype=torch.int64, device=training.device))
        outputs = forward(network.train(), inputs, precision=training.precision)
        outputs.float().sum().backward()  # type: ignore[no-untyped-call]
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return False
    finally:
        training.optimizer.zero_grad()
        with contextlib.suppress(RuntimeError):
            copy_all(list(network.buffers()), buffers)
    return True
