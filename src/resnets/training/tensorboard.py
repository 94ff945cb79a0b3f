"""A subscriber that writes events for TensorBoard (the extra `tensorboard`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from resnets.core.errors import not_installed
from resnets.training.events import Event


class TensorBoardSubscriber:
    """Writes the numbers of steps and evaluations as scalars into `folder`.

    What is no number, such as a metric by class, or one that has no value, is left out. Where a run goes on, it purges
    what was written for the steps after its checkpoint.

    Raises:
        UsageError: TensorBoard is not installed.
    """

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise not_installed("--tensorboard needs TensorBoard", "tensorboard") from None
        self._make = lambda first: SummaryWriter(str(folder), purge_step=first)
        self._writer: Any = None

    def __call__(self, event: Event) -> None:
        kind = event["event"]
        if self._writer is None:  # the run's folder exists from the first event on
            after = event.get("resumed_after")
            self._writer = self._make(None if after is None else after + 1)  # type: ignore[no-untyped-call]
        if kind == "end":
            self.close()
        if kind not in ("step", "evaluation"):
            return
        for name, value in event.items():
            if name not in ("event", "step") and isinstance(value, int | float) and not isinstance(value, bool):
                prefix = "train" if kind == "step" else event.get("split", "test")
                self._writer.add_scalar(f"{prefix}/{name}", value, event["step"])

    def close(self) -> None:
        """Flushes and closes the file."""
        if self._writer is not None:
            self._writer.close()
