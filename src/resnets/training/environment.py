"""The environment of a run: device, precision, memory layout, threads and versions; chosen once, printed and saved."""

from __future__ import annotations

import contextlib
import math
import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass, fields
from importlib import metadata
from typing import Any, Literal

import torch

from resnets.core.devices import abilities, find_device, has_bf16
from resnets.core.errors import UsageError
from resnets.core.typed import checked
from resnets.modalities.image.read import jpeg
from resnets.training.recipe import Precision
from resnets.version import __version__

ONE_THREAD_WORK = 1e9
# Environment variables that decide which kernels torch, oneDNN, MKL, OpenBLAS, cuBLAS, NCCL and Metal choose.
SWITCHES = (
    "ATEN_CPU_CAPABILITY",
    "CUBLAS_WORKSPACE_CONFIG",
    "DNNL_DEFAULT_FPMATH_MODE",
    "DNNL_MAX_CPU_ISA",
    "MKL_CBWR",
    "MKL_ENABLE_INSTRUCTIONS",
    "NCCL_ALGO",
    "NCCL_PROTO",
    "NVIDIA_TF32_OVERRIDE",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "ONEDNN_MAX_CPU_ISA",
    "OPENBLAS_CORETYPE",
    "PYTORCH_MPS_FAST_MATH",
    "PYTORCH_MPS_PREFER_METAL",
)
MAX_THREADS = 4096

Layout = Literal["channels last", "contiguous"]


@dataclass(frozen=True, kw_only=True)
@checked
class Environment:
    """Everything beside the recipe that the last bit of a result may depend on.

    Args:
        device: as torch names it.
        precision: of training steps. float32 is never TF32.
        threads: number that torch computes with.
        cpu_capability: the widest instruction set that torch's own kernels use, such as AVX512.
        cudnn: its version on CUDA; "none" on other devices.
        switches: environment variables (see `SWITCHES`) and settings of torch that decide which kernels are chosen,
            as NAME=VALUE, where they are set.
        jpeg_decoder: of the JPEG files that training crops; see `modalities.image.read.jpeg`.

    A field that is None was not recorded by the version that wrote the file.
    """

    device: str
    precision: Literal["fp32", "bf16"]
    layout: Layout
    threads: int
    hardware: str
    torch: str
    python: str
    resnets: str
    torchvision: str | None = None
    numpy: str | None = None
    pillow: str | None = None
    cpu_capability: str | None = None
    cudnn: str | None = None
    switches: tuple[str, ...] | None = None
    jpeg_decoder: jpeg.Decoder | None = None

    def changes(self, now: Environment) -> list[str]:
        """Returns a phrase for each recorded field that differs `now`, except threads and what a run chooses itself."""
        return [
            f"{each.name} {then} is now {getattr(now, each.name)}"
            for each in fields(self)
            if each.name not in ("precision", "layout", "threads")
            and (then := getattr(self, each.name)) is not None
            and then != getattr(now, each.name)
        ]

    def __post_init__(self) -> None:
        if not 1 <= self.threads <= MAX_THREADS:
            raise UsageError(f"threads must be from 1 to {MAX_THREADS}, not {self.threads}.")


def choose(device: str = "auto", precision: Precision = "auto", work: float = math.inf) -> Environment:
    """Returns the environment of a run on this machine.

    Args:
        device: "auto" takes CUDA, else Apple's MPS, else the CPU.
        precision: "auto" takes bf16 where the hardware computes in it, else fp32.
        work: multiply-adds of one forward pass. Below `ONE_THREAD_WORK` one thread is nearly as fast as two, and
            several times faster while other programs run: threads would wait for one another at every small layer.

    Raises:
        UsageError: this machine does not have the device, or torch cannot train on it in that precision.
    """
    chosen = find_device(device)
    if precision == "bf16" and not torch.amp.is_autocast_available(chosen.type):
        raise UsageError(f"torch cannot train in bf16 on {chosen}: choose precision=fp32.")
    backends: Any = torch.backends
    resolved: Literal["fp32", "bf16"] = "fp32"
    if precision == "bf16" or (precision == "auto" and has_bf16(chosen)):
        resolved = "bf16"
    return Environment(
        device=str(chosen),
        precision=resolved,
        layout="channels last" if abilities(chosen).channels_last else "contiguous",
        threads=1 if work < ONE_THREAD_WORK else torch.get_num_threads(),
        hardware=_hardware(chosen),
        torch=torch.__version__,
        python=platform.python_version(),
        resnets=__version__,
        torchvision=_version("torchvision"),
        numpy=_version("numpy"),
        pillow=_version("pillow"),
        cpu_capability=torch.backends.cpu.get_cpu_capability(),
        cudnn=str(backends.cudnn.version()) if chosen.type == "cuda" else "none",
        switches=_switches(),
        jpeg_decoder=jpeg.decoder(),
    )


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    """Context manager that sets the number of threads that torch computes with."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "none"


def _switches() -> tuple[str, ...]:
    found = [f"{name}={os.environ[name]}" for name in SWITCHES if name in os.environ]
    backends: Any = torch.backends
    if backends.mkldnn.is_available() and not backends.mkldnn.enabled:
        found.append("torch.backends.mkldnn.enabled=False")
    if not backends.cudnn.enabled:
        found.append("torch.backends.cudnn.enabled=False")
    return tuple(found)


def _hardware(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    name = torch.cpu.get_capabilities().get("cpu_name") or platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores"
