"""TensorBoard as a listener (the extra `tensorboard`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from resnets.errors import not_installed
from resnets.training.run_folder import Event


class Board:
    """Writes the figures of steps and evaluations as scalars into `folder`."""

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise not_installed("--tensorboard needs TensorBoard", "tensorboard") from None
        self._make = lambda: SummaryWriter(str(folder))
        self._writer: Any = None

    def __call__(self, event: Event) -> None:
        kind = event["event"]
        self._writer = self._writer or self._make()  # type: ignore[no-untyped-call]  # not before the run has its folder
        if kind == "end":
            self._writer.close()
        if kind not in ("step", "evaluation"):
            return
        for name, value in event.items():
            if name not in ("event", "step") and isinstance(value, int | float):
                prefix = "train" if kind == "step" else event.get("split", "test")
                self._writer.add_scalar(f"{prefix}/{name}", value, event["step"])
