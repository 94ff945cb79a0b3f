"""TensorBoard (the extra `tensorboard`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from resnets.core.errors import not_installed
from resnets.core.files import to_json
from resnets.training.trackers.base import TrackedRun


class TensorBoardTracker:
    """Writes scalars, and the recipe as a text, into the folder `tensorboard` of the run.

    Where a run goes on, all that was written before is purged and written anew: a process that was killed has lost what
    it had not written yet.
    """

    title = "TensorBoard"

    def __init__(self) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise not_installed("--tensorboard needs TensorBoard", "tensorboard") from None
        self._make: Any = SummaryWriter

    def begin(self, run: TrackedRun) -> None:
        folder = run.folder / "tensorboard"
        self._writer = self._make(str(folder), purge_step=0 if folder.exists() else None)
        lines = to_json(run.settings, readable=True).splitlines()
        self._writer.add_text("recipe", "\n".join(f"    {line}" for line in lines), 0)  # Markdown's code

    def log(self, numbers: Mapping[str, float], step: int) -> None:
        for name, value in numbers.items():
            self._writer.add_scalar(name, value, step)

    def end(self, *, finished: bool) -> None:
        self._writer.close()
