"""Devices by name, and what they can do."""

from __future__ import annotations

import torch

from resnets.errors import UsageError


def find_device(name: str) -> torch.device:
    """The torch device called `name`, "auto" for the best there is. Raises `UsageError` if it is not here."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0] if str(error) else "torch cannot use it"
        raise UsageError(f"Device {name!r} cannot be used ({reason}). Choose auto, cpu, cuda or mps.") from error
    if device.type == "meta":
        raise UsageError("Device 'meta' holds no numbers. Choose auto, cpu, cuda or mps.")
    return device


def has_bf16(device: torch.device) -> bool:
    """Whether its hardware computes in bf16."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        abilities = torch.cpu.get_capabilities()
        return bool(abilities.get("avx512_bf16") or abilities.get("amx_bf16"))
    return False
