"""The metrics of regression, against scikit-learn's."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import sklearn.metrics
import torch

from resnets.tasks.base import SampleRecords
from resnets.tasks.regression.metrics import evaluate_batch, metrics
from resnets.tasks.regression.settings import Regress

SETTINGS = Regress(mean=-20.0, std=52.0)


def case(samples: int = 300, settings: Regress = SETTINGS) -> SampleRecords:
    generator = torch.Generator().manual_seed(samples)
    outputs = torch.randn(samples, 1, generator=generator)
    target = 52 * (outputs[:, 0] + 0.3 * torch.randn(samples, generator=generator)) - 20
    return {name: value.numpy() for name, value in evaluate_batch(outputs, target, settings).items()}


@pytest.mark.parametrize("settings", [SETTINGS, Regress(loss="huber", mean=-20.0, std=52.0), Regress()])
def test_metrics_are_scikit_learns(settings: Regress) -> None:
    records = case(settings=settings)
    target, predicted = records["target"], records["predicted"]
    found = metrics(records)
    assert found["mae"] == pytest.approx(sklearn.metrics.mean_absolute_error(target, predicted), rel=1e-12)
    assert found["rmse"] == pytest.approx(sklearn.metrics.root_mean_squared_error(target, predicted), rel=1e-12)
    assert found["r2"] == pytest.approx(sklearn.metrics.r2_score(target, predicted), rel=1e-12)
    assert found["samples"] == 300
    assert json.loads(json.dumps(found)) == found


def test_predictions_are_in_the_units_of_the_target() -> None:
    records = evaluate_batch(torch.tensor([[0.0], [1.0]]), torch.tensor([-20.0, 30.0]), SETTINGS)
    assert records["predicted"].tolist() == [-20, 32]
    assert records["loss"].tolist() == [0, pytest.approx((2 / 52) ** 2, rel=1e-5)]


def test_r2_of_one_target_is_not_defined() -> None:
    records = evaluate_batch(torch.tensor([[0.0], [1.0]]), torch.tensor([5.0, 5.0]), SETTINGS)
    assert metrics({name: value.numpy() for name, value in records.items()})["r2"] is None


def test_large_targets_lose_nothing() -> None:
    target = torch.arange(10.0) + 1e6
    records = evaluate_batch(torch.linspace(-1.5, 1.5, 10)[:, None], target, Regress(mean=1e6 + 4.5, std=3.0))
    found = metrics({name: value.numpy() for name, value in records.items()})
    assert found["mae"] == pytest.approx(0, abs=1e-5)
    assert found["r2"] == pytest.approx(1, abs=1e-9)


def test_nan_is_not_hidden() -> None:
    records = evaluate_batch(torch.tensor([[math.nan], [1.0]]), torch.tensor([5.0, 6.0]), SETTINGS)
    found = metrics({name: value.numpy() for name, value in records.items()})
    assert all(np.isnan(found[name]) for name in ("mae", "rmse", "r2", "loss"))
