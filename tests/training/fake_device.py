"""A device that is not there: torch works out shapes, strides and devices of what it is asked for, and no numbers.

So whatever would wait for such a device's numbers fails, and every operation on it can be inspected.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

# Sees each operation: its name, and all that it takes and gives, in flat lists.
Check = Callable[[str, list[Any], list[Any]], None]


class _Watching(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self, check: Check) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.check = check

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.check(func.name().partition(".")[0], tree_leaves((args, kwargs or {})), tree_leaves(result))
        return result


def on_device(values: list[Any], wanted: bool = True) -> list[Tensor]:
    """The tensors among `values` that are on the device that is not there, or those that are not."""
    return [v for v in values if isinstance(v, Tensor) and (v.device.type == "cuda") == wanted]


def never_waits(name: str, arguments: list[Any], results: list[Any]) -> None:
    """Fails on a copy during which the host waits, as `torch.cuda.set_sync_debug_mode("error")` does."""
    if name not in ("aten::_to_copy", "aten::copy_") or not on_device(arguments + results):
        return
    assert not on_device(results, wanted=False), "a copy to the host waits for the device"
    for tensor in on_device(arguments, wanted=False):
        # The only flag that is True among what these two take.
        assert True in [a for a in arguments if isinstance(a, bool)], f"{name} of {tuple(tensor.shape)} blocks"
        assert getattr(tensor, "pinned", False), f"{name} of {tuple(tensor.shape)} is from memory that is not pinned"


@contextlib.contextmanager
def fake_cuda(check: Check, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Context manager in which "cuda" is a device that is not there."""

    def pin(tensor: Tensor) -> Tensor:
        copy = tensor.clone()
        copy.pinned = True  # type: ignore[attr-defined]
        return copy

    def to(network: nn.Module, device: torch.device, memory_format: torch.memory_format) -> nn.Module:
        """torch's own refuses tensors without numbers."""
        for module in network.modules():
            for name, parameter in module._parameters.items():
                if parameter is not None:
                    form = memory_format if parameter.ndim == 4 else torch.preserve_format
                    module._parameters[name] = nn.Parameter(parameter.detach().to(device, memory_format=form))
            for name, buffer in module._buffers.items():
                module._buffers[name] = None if buffer is None else buffer.to(device)
        return network

    def duplicate(tensor: Tensor, memo: dict[int, Any]) -> Tensor:
        """torch's own copies the mode, too."""
        value = tensor.detach().clone()
        copy: Tensor = memo.setdefault(id(tensor), nn.Parameter(value) if isinstance(tensor, nn.Parameter) else value)
        return copy

    monkeypatch.setattr(nn.Module, "to", to)
    monkeypatch.setattr(Tensor, "__deepcopy__", duplicate)
    monkeypatch.setattr(nn.Parameter, "__deepcopy__", duplicate)
    monkeypatch.setattr(Tensor, "pin_memory", pin)
    monkeypatch.setattr(Tensor, "is_pinned", lambda tensor: getattr(tensor, "pinned", False))
    with FakeTensorMode(), _Watching(check):
        yield
