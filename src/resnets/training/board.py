"""TensorBoard as a listener (the extra `tensorboard`)."""

from __future__ import annotations

from pathlib import Path

from resnets.errors import UsageError
from resnets.training.run_folder import Event


class Board:
    """Writes the figures of steps and evaluations as scalars into `folder`."""

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise UsageError("--tensorboard needs TensorBoard: pip install 'resnets[tensorboard]'.") from None
        self._writer = SummaryWriter(str(folder))

    def __call__(self, event: Event) -> None:
        kind = event["event"]
        if kind == "end":
            self._writer.close()
        if kind not in ("step", "evaluation"):
            return
        for name, value in event.items():
            if name not in ("event", "step") and isinstance(value, int | float):
                prefix = "train" if kind == "step" else "test"
                self._writer.add_scalar(f"{prefix}/{name}", value, event["step"])
