"""Only numbers become scalars; nothing else that a task says of an evaluation breaks a run."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from resnets.training.run_log import Log, read_log
from resnets.training.tensorboard import TensorBoardSubscriber

EVENT = {
    "event": "evaluation", "step": 4, "epoch": 1.0, "split": "val", "loss": 0.5, "miou": 0.25, "samples": 3,
    "r2": math.nan, "auc": None, "absent": ["tram"], "classes": {"cat": {"iou": None}}, "chosen": True,
}  # fmt: skip


class Writer:
    def __init__(self) -> None:
        self.scalars: dict[str, Any] = {}

    def add_scalar(self, name: str, value: float, step: int) -> None:
        self.scalars[name] = (float(value), step)


def test_what_is_no_number_is_left_out(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    subscriber, writer = TensorBoardSubscriber(tmp_path), Writer()
    subscriber._writer = writer
    subscriber(EVENT)
    assert writer.scalars.keys() == {"val/epoch", "val/loss", "val/miou", "val/samples", "val/r2"}
    assert writer.scalars["val/miou"] == (0.25, 4)


def test_the_log_takes_the_metrics_of_any_task(tmp_path: Path) -> None:
    log = Log(tmp_path / "log.jsonl")
    log(EVENT)
    log.close()
    assert read_log(tmp_path / "log.jsonl") == [{**EVENT, "r2": None}]
