"""Writing checkpoints in a thread, while training goes on."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterable
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from resnets.core.errors import FileError
from resnets.core.files import write_bytes, write_json
from resnets.training.checkpoint import (
    TrainState,
    encode_description,
    json_path,
    remove,
    steps,
    tensors_path_of,
)


class Writer:
    """Writes checkpoints in a thread; training waits only while tensors are copied.

    Args:
        folder: of the checkpoints.
        keep: how many of the newest are kept.
        damaged: steps of damaged checkpoints, which are removed once another one is whole.
    """

    def __init__(self, folder: Path, keep: int, damaged: Iterable[int] = ()) -> None:
        self.folder = folder
        self.keep = keep
        self._damaged = set(damaged)
        self._thread: threading.Thread | None = None
        self._error: FileError | None = None
        self.cpu_seconds = 0.0  # spent on writing
        for leftover in folder.glob(".step-*.part"):  # of a process that was killed while it wrote
            with contextlib.suppress(OSError):
                leftover.unlink()

    def write(self, tensors: dict[str, Tensor], state: TrainState) -> None:
        """Starts to write a copy of `tensors`, once the checkpoint before is written.

        Raises:
            FileError: the checkpoint before could not be written.
        """
        self.wait()
        copies = {name: _copy(tensor) for name, tensor in tensors.items()}
        self._thread = threading.Thread(target=self._write, args=(copies, state), name="checkpoint")
        self._thread.start()

    def wait(self) -> None:
        """Waits until the last checkpoint is on the disk. Raises `FileError` if it could not be written."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def _write(self, tensors: dict[str, Tensor], state: TrainState) -> None:
        started = time.thread_time()
        try:
            data = safetensors.torch.save(tensors)
            write_bytes(tensors_path_of(self.folder, state.step), data)
            write_json(json_path(self.folder, state.step), encode_description(data, state))
            remove(self.folder, self._damaged - {state.step})
            self._damaged = set()
            remove(self.folder, [step for step in steps(self.folder) if step <= state.step][self.keep :])
        except FileError as error:
            self._error = error
        except Exception as error:  # whatever it is, training must learn that its work is not saved
            self._error = FileError(f"Cannot write a checkpoint into {self.folder}: {error}.")
        finally:
            self.cpu_seconds += time.thread_time() - started


def _copy(tensor: Tensor) -> Tensor:
    """Returns a contiguous copy on the CPU."""
    return tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
