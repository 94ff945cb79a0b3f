"""Devices by name, what torch can do on each of them, and slower ways to do the same elsewhere.

All code that depends on the kind of device uses this module. For a kind that is not in the table, the slower ways are
taken, which work wherever torch does.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from resnets.core.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Abilities:
    """What torch does correctly on a kind of device.

    Args:
        foreach: kernels over lists of tensors; without them `torch.nn.utils` raises where they are requested.
        guarded_optimizers: fused optimisers that skip the update where `found_inf` is not 0. On MPS they ignore it
            (pytorch/pytorch#186360).
        float64: numbers of 64 bits; on MPS the conversion raises.
        channels_last: the gradient of batch norm in this memory format; on MPS it is silently wrong
            (pytorch/pytorch#175189).
        pinned: asynchronous copies from page-locked memory. On MPS they may read memory that is already freed
            (pytorch/pytorch#189690).
    """

    foreach: bool = False
    guarded_optimizers: bool = False
    float64: bool = False
    channels_last: bool = False
    pinned: bool = False


_ABILITIES = {
    "cpu": Abilities(foreach=True, guarded_optimizers=True, float64=True, channels_last=True),
    "cuda": Abilities(foreach=True, guarded_optimizers=True, float64=True, channels_last=True, pinned=True),
    "mps": Abilities(),
}


def abilities(device: torch.device) -> Abilities:
    """The abilities of torch on `device`."""
    return _ABILITIES.get(device.type, Abilities())


def find_device(name: str) -> torch.device:
    """The torch device called `name`; "auto" is the first available of CUDA, MPS and the CPU.

    Raises:
        UsageError: there is no such device, or torch cannot use it.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UsageError(f"Device {name!r} cannot be used: {_cause(name, error)}. {_choice()}") from error
    if device.type == "meta":
        raise UsageError(f"Device 'meta' holds no numbers. {_choice()}")
    return device


def _cause(name: str, error: BaseException) -> str:
    """Why torch cannot use the device `name`."""
    kind, _, number = name.partition(":")
    if kind == "cuda" and not torch.cuda.is_available():
        if torch.version.cuda is None and torch.version.hip is None:
            return f"torch {torch.__version__} is built without CUDA; pytorch.org has the command for a build with it"
        return "torch finds no GPU with a driver; nvidia-smi shows what the driver finds"
    if kind == "cuda" and number.isdigit():
        return f"torch finds {torch.cuda.device_count()} such devices, numbered from 0"
    if kind == "mps" and not torch.backends.mps.is_available():
        return "it is the GPU of Macs with Apple's chips, from macOS 14 on"
    reason = str(error).splitlines()[0].rstrip(".") if str(error) else "torch cannot use it"
    return "torch knows no such kind" if reason.startswith("Expected one of") else reason


def _choice() -> str:
    """What there is to choose from on this machine."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    own = ["auto", "cpu", *(["cuda"] if count else []), *(f"cuda:{number}" for number in range(1, min(count, 8)))]
    own += ["mps"] if torch.backends.mps.is_available() else []
    return f"Choose {', '.join(own[:-1])} or {own[-1]}."


def has_bf16(device: torch.device) -> bool:
    """Whether the hardware of `device` computes in bf16."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        known = torch.cpu.get_capabilities()
        return bool(known.get("avx512_bf16") or known.get("amx_bf16"))
    return False


def memory_format(device: torch.device) -> torch.memory_format:
    """The memory format of images and kernels on `device`."""
    return torch.channels_last if abilities(device).channels_last else torch.contiguous_format


def float64_device(device: torch.device) -> torch.device:
    """The device for computations in float64: `device` if it has it, else the CPU."""
    return device if abilities(device).float64 else torch.device("cpu")


def to_device(array: NDArray[Any] | Tensor, device: torch.device) -> Tensor:
    """`array` as a tensor on `device`; a copy from the host is asynchronous where the device allows it."""
    tensor = array if isinstance(array, Tensor) else torch.from_numpy(array)
    if tensor.device.type != "cpu" or not abilities(device).pinned:  # only memory of the host can be pinned
        return tensor.to(device)
    if not tensor.is_pinned():
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


@lru_cache(maxsize=64)
def constant(values: tuple[float, ...] | tuple[tuple[float, ...], ...], device: torch.device) -> Tensor:
    """`values` as a float32 tensor on `device`, copied there once. Callers must not change it."""
    with torch.inference_mode(False):  # the first call may be in an evaluation, and a later one in training
        return to_device(torch.tensor(values, dtype=torch.float32), device)


def copy_all(targets: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    """Copies each of `values` into its target; all are on one device."""
    if targets and not abilities(targets[0].device).foreach:
        for target, value in zip(targets, values, strict=True):
            target.copy_(value)
    elif targets:
        torch._foreach_copy_(list(targets), list(values))


def lerp_all(targets: Sequence[Tensor], ends: Sequence[Tensor], weight: float) -> None:
    """Interpolates each target towards its end, `target += weight * (end - target)`; all are on one device."""
    if targets and not abilities(targets[0].device).foreach:
        for target, end in zip(targets, ends, strict=True):
            target.lerp_(end, weight)
    elif targets:
        torch._foreach_lerp_(list(targets), list(ends), weight)


class _FullFloat32:
    """torch's settings for float32 products, which all threads share: the first to need them changes them, and the last
    puts them back."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._restore: Callable[[], None] = lambda: None

    def enter(self) -> None:
        with self._lock:
            if not self._users:
                self._restore = _set_full_float32()
            self._users += 1

    def leave(self) -> None:
        with self._lock:
            self._users -= 1
            if not self._users:
                self._restore()


_FULL_FLOAT32 = _FullFloat32()


@contextlib.contextmanager
def full_float32() -> Iterator[None]:
    """Context manager in which float32 products have all of their 24 bits: no TF32 on CUDA, no bf16 on the CPU.

    By default torch computes convolutions on CUDA in TF32, with 11 bits. Threads may use it at the same time.
    """
    _FULL_FLOAT32.enter()
    try:
        yield
    finally:
        _FULL_FLOAT32.leave()


def _set_full_float32() -> Callable[[], None]:
    """Sets what `full_float32` needs; returns a function that puts back what was there."""
    backends: Any = torch.backends
    settings = (
        backends.cuda.matmul,
        backends.cudnn.conv,
        backends.cudnn.rnn,
        backends.mkldnn.matmul,
        backends.mkldnn.conv,
    )
    before = [setting.fp32_precision for setting in settings]
    # torch's older settings for the same must agree, else reading them raises; it also does if a caller has set both.
    tf32: bool | None = None
    products: str | None = None
    with contextlib.suppress(RuntimeError):
        tf32 = backends.cudnn.allow_tf32
        backends.cudnn.allow_tf32 = False
    with contextlib.suppress(RuntimeError):
        products = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("highest")
    for setting in settings:
        setting.fp32_precision = "ieee"

    def restore() -> None:
        if tf32 is not None:
            backends.cudnn.allow_tf32 = tf32
        if products is not None:
            torch.set_float32_matmul_precision(products)
        for setting, precision in zip(settings, before, strict=True):
            setting.fp32_precision = precision

    return restore
