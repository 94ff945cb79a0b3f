"""Which model is kept as the best one."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

import resnets
from resnets.core.config import decode, encode
from resnets.core.errors import UsageError
from resnets.evaluation.scoring import Scores
from resnets.training.callbacks import CheckpointCallback
from resnets.training.checkpoint import Saved, TrainState
from resnets.training.distributed import Ranks
from resnets.training.plan import CheckpointPolicy
from resnets.training.step import Training

Figures = tuple[float, float]  # accuracy and loss


def kept_of(evaluations: list[Figures], folder: Path, metric: str = "accuracy", best: Any = None) -> list[Figures]:
    """The evaluations after which the best model was written; the run is cut off and goes on after each of them."""
    kept: list[Figures] = []
    for accuracy, loss in evaluations:
        scores = cast("Scores", SimpleNamespace(metrics={"accuracy": accuracy, "loss": loss}))
        watch = CheckpointCallback(
            cast("Training", SimpleNamespace(ranks=Ranks(), steps_done=0)),
            CheckpointPolicy(monitor=metric),
            folder,
            recipe_sha256="",
            asked=[],
            log_bytes=lambda: 0,
            save_best=lambda scores: kept.append((scores.metrics["accuracy"], scores.metrics["loss"])),
            found=Saved({}, TrainState(step=0, log_bytes=0, seconds=0.0, recipe_sha256="", best=best)),
            unlogged=[],
        )
        watch.after_evaluation(scores)
        state = TrainState(step=0, log_bytes=0, seconds=0, recipe_sha256="", best=watch.best)
        text = json.dumps(encode(state), allow_nan=False)
        best = decode(TrainState, json.loads(text)).best
    return kept


def test_of_equal_models_that_of_lower_loss_is_kept_and_then_the_later(tmp_path: Path) -> None:
    evaluations = [(0.5, 1.0), (0.5, 1.2), (0.5, 0.9), (0.4, 0.1), (0.5, 0.9), (0.6, 3.0), (0.5, 0.1)]
    assert kept_of(evaluations, tmp_path) == [(0.5, 1.0), (0.5, 0.9), (0.5, 0.9), (0.6, 3.0)]
    assert kept_of([(0.1, 0.3), (0.9, 0.3), (0.2, 0.4)], tmp_path, "loss") == [(0.1, 0.3), (0.9, 0.3)]


def test_figures_that_are_not_finite_are_no_best_ones(tmp_path: Path) -> None:
    evaluations = [(0.5, math.nan), (0.5, math.inf), (0.5, 1.0), (0.6, math.nan)]
    assert kept_of(evaluations, tmp_path)[-2:] == [(0.5, 1.0), pytest.approx((0.6, math.nan), nan_ok=True)]
    assert kept_of([(0.5, math.nan), (0.5, math.inf), (0.5, 2.0)], tmp_path, "loss") == [(0.5, 2.0)]


def test_a_best_value_that_an_older_version_noted_is_kept(tmp_path: Path) -> None:
    old = decode(TrainState, {"step": 3, "log_bytes": 0, "seconds": 1.5, "recipe_sha256": "", "best": 0.5}).best
    assert kept_of([(0.4, 0.1), (0.5, 2.0), (0.5, 3.0)], tmp_path, best=old) == [(0.5, 2.0)]


def test_a_figure_that_every_model_has_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="With 3 classes the right one is always among the first five"):
        resnets.train("paper/cifar", data=str(data), monitor="top5", epochs=1, out=tmp_path / "r", device="cpu")
    assert not (tmp_path / "r").exists()
