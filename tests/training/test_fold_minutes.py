"""`--minutes` with `--fold all`: each fold has the whole time, on the command line too."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from resnets.core import clock
from resnets.recipes.catalog import find
from resnets.training.folds import FoldsPlan, run_folds
from resnets.training.plan import CheckpointPolicy


def test_the_time_of_a_later_fold_begins_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    began: list[float] = []

    def train(*given: Any, started: float, **settings: Any) -> None:
        began.append(started)

    process = time.monotonic() - 3600  # on the command line a time budget counts from the start of the process
    monkeypatch.setattr(clock, "_of_process", process)
    monkeypatch.setattr("resnets.training.folds.runner.train", train)
    monkeypatch.setattr("resnets.training.folds.model_file.load", lambda path: ({}, SimpleNamespace(metrics={})))
    now = time.monotonic()
    plan = FoldsPlan(recipe=find("digits"), count=3, checkpoints=CheckpointPolicy())
    assert len(list(run_folds(tmp_path, plan))) == 3
    assert began[0] == process
    assert now <= began[1] <= began[2]
