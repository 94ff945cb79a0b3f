"""What autograd keeps for the backward pass."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


@contextmanager
def saved_tensors(given: Iterable[Tensor]) -> Iterator[dict[int, torch.UntypedStorage]]:
    """Context manager that collects the storages of what autograd keeps, each once, but for those of `given`.

    Args:
        given: what is there before, such as parameters, buffers and inputs.
    """
    others = {tensor.untyped_storage().data_ptr() for tensor in given}
    kept: dict[int, torch.UntypedStorage] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in others:
            kept[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield kept
