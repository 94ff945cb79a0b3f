"""Any metric of a task may pick the best model, in its direction; other names are refused with those that there are."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

import resnets
from resnets.core.errors import UsageError
from resnets.tasks.catalog import SETTINGS
from resnets.tasks.detection.settings import Detect
from resnets.tasks.metric import Metric
from resnets.training.callbacks import goodness
from resnets.training.plan import CheckpointPolicy
from tests.training.run_split.conftest import TINY, add
from tests.training.runs import sha_of


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda each: each.name)
def test_every_metric_of_a_task_can_be_monitored(settings: Any) -> None:
    task = Detect(masks=True) if settings is Detect else settings()
    for metric in settings.metrics:
        assert CheckpointPolicy(monitor=metric.name).monitored(task) == metric
    assert CheckpointPolicy().monitored(settings()) is None


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("acuracy", r"of classification \(accuracy, top5, loss, .*\), not 'acuracy': did you mean 'accuracy'\?"),
        ("miou", r"of classification \(accuracy, .*\), not 'miou'\.$"),
    ],
)
def test_a_metric_that_the_task_lacks_is_refused_with_those_that_it_has(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        CheckpointPolicy(monitor=name).monitored(SETTINGS[0]())


def test_masks_are_monitored_where_there_are_some() -> None:
    with pytest.raises(
        UsageError, match=r"mask_ap is of models with masks \(task\.masks=true\): choose another metric"
    ):
        CheckpointPolicy(monitor="mask_ap").monitored(Detect())


def test_better_is_more_or_less_as_the_metric_says_and_of_equals_that_of_lower_loss() -> None:
    low, high = {"x": 1.0, "loss": 3.0}, {"x": 2.0, "loss": 4.0}
    more, less = Metric("x", "max"), Metric("x", "min", percent=False)
    assert goodness(more, high) > goodness(more, low)  # type: ignore[operator]
    assert goodness(less, high) < goodness(less, low)  # type: ignore[operator]
    for metric in (more, less):
        assert goodness(metric, {**low, "loss": 1.0}) > goodness(metric, low)  # type: ignore[operator]
        assert goodness(metric, {"x": None, "loss": 1.0}) is goodness(metric, {"x": math.nan, "loss": 1.0}) is None


def test_where_no_evaluation_has_a_value_the_model_is_the_last_which_is_said(tmp_path: Path) -> None:
    """The area under the curve is of two classes, and val has one."""
    add(tmp_path / "photos" / "train" / "cat", *range(8))
    add(tmp_path / "photos" / "train" / "horse", *range(8))
    add(tmp_path / "photos" / "val" / "cat", 20, 21)
    run = resnets.train(
        "paper/cifar", *TINY, data=tmp_path / "photos", monitor="auc", epochs=2, device="cpu", out=tmp_path / "r"
    )
    assert run.metrics["auc"] is None
    assert sha_of(tmp_path / "r") == sha_of(tmp_path / "r" / "last.safetensors")
    assert (
        "No evaluation has a value of auc: the model is that of the last step."
        in (tmp_path / "r" / "log.jsonl").read_text()
    )
