"""Weights & Biases (the extra `wandb`)."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from typing import Any

from resnets.core.errors import not_installed
from resnets.training.trackers.base import TrackedRun


class WandbTracker:
    """Writes metrics and settings into the folder `wandb` of the run, offline unless WANDB_MODE says otherwise.

    The other variables of Weights & Biases hold, such as WANDB_PROJECT and WANDB_ENTITY. Where a run goes on, a file of
    its own has all of the run, under the same id: a process that was killed has lost what it had not written yet.
    Online, the server keeps the steps that it has.
    """

    title = "Weights & Biases"

    def __init__(self) -> None:
        self._mode = os.environ.get("WANDB_MODE", "offline")
        if self._mode == "offline":
            os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # read when it is imported
        try:
            import wandb
        except ImportError:
            raise not_installed("--wandb needs Weights & Biases", "wandb") from None
        self._wandb: Any = wandb

    def begin(self, run: TrackedRun) -> str:
        known = run.id or uuid.uuid4().hex[:8]
        self._run = self._wandb.init(
            dir=str(run.folder),
            mode=self._mode,
            project=os.environ.get("WANDB_PROJECT", "resnets"),
            id=known,
            name=run.name,
            config=dict(run.settings),
            resume="allow" if run.id is not None else None,
            reinit="create_new",  # runs of one process, such as folds, are runs of their own
            settings=self._wandb.Settings(console="off", silent=self._mode == "offline"),
        )
        self._first = int(self._run.step)  # above 0 where the server knows the run
        return known

    def log(self, numbers: Mapping[str, float], step: int) -> None:
        if step >= self._first:
            self._run.log(dict(numbers), step=step)

    def end(self, *, finished: bool) -> None:
        self._run.finish(exit_code=0 if finished else 1)
