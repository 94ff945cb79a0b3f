"""What a run runs on: device, precision, memory layout and threads, chosen once, printed and saved."""

from __future__ import annotations

import contextlib
import math
import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch

from resnets.devices import find_device, has_bf16
from resnets.training.recipe import Precision
from resnets.version import __version__

ONE_THREAD_WORK = 1e9

Layout = Literal["channels last", "contiguous"]


@dataclass(frozen=True, kw_only=True)
class Environment:
    """All beside the recipe on which the last bit of a result may depend.

    Args:
        device: as torch names it.
        precision: of training steps.
        threads: that torch computes with.
        hardware, torch, python, resnets: for the reader.
    """

    device: str
    precision: Literal["fp32", "bf16"]
    layout: Layout
    threads: int
    hardware: str
    torch: str
    python: str
    resnets: str


def choose(device: str = "auto", precision: Precision = "auto", work: float = math.inf) -> Environment:
    """The environment for this machine.

    Args:
        device: "auto" takes CUDA, else Apple's MPS, else the CPU.
        precision: "auto" takes bf16 where the hardware computes in it, else fp32.
        work: multiply-adds of one forward pass. Below `ONE_THREAD_WORK` one thread is nearly as fast as two, and,
            beside other programs, several times faster: threads then wait for one another at every small layer.

    Raises:
        UsageError: the device is not here or cannot do the precision.
    """
    chosen = find_device(device)
    resolved: Literal["fp32", "bf16"] = "fp32"
    if precision == "bf16" or (precision == "auto" and has_bf16(chosen)):
        resolved = "bf16"
    return Environment(
        device=str(chosen),
        precision=resolved,
        layout="channels last",
        threads=1 if work < ONE_THREAD_WORK else torch.get_num_threads(),
        hardware=_hardware(chosen),
        torch=torch.__version__,
        python=platform.python_version(),
        resnets=__version__,
    )


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    """Within, torch computes with `count` threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _hardware(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    name = torch.cpu.get_capabilities().get("cpu_name") or platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores"
