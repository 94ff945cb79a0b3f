"""The losses of regression, against their formulas."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from resnets.modalities.batch import Batch
from resnets.tasks.regression.loss import of_batch, regression_loss, standardized
from resnets.tasks.regression.settings import Regress

MSE = Regress(mean=3.0, std=2.0)
HUBER = Regress(loss="huber", delta=0.5, mean=3.0, std=2.0)


def case(samples: int = 50) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(samples, 1, generator=generator), 4 * torch.randn(samples, generator=generator) + 3


def batch_of(target: Tensor, **more: Tensor) -> Batch:
    return Batch({"inputs": torch.zeros(len(target), 1), "target": target, **more})


def huber(error: float, delta: float) -> float:
    return error**2 / 2 if abs(error) <= delta else delta * (abs(error) - delta / 2)


def test_squared_errors_are_of_standardized_targets() -> None:
    outputs, target = case()
    found = of_batch(outputs, batch_of(target), MSE)
    torch.testing.assert_close(found, (outputs[:, 0] - (target - 3) / 2) ** 2)


def test_huber_is_linear_beyond_delta() -> None:
    outputs, target = case()
    errors = (outputs[:, 0] - (target - 3) / 2).tolist()
    expected = torch.tensor([huber(error, 0.5) for error in errors])
    torch.testing.assert_close(of_batch(outputs, batch_of(target), HUBER), expected)
    assert any(abs(error) < 0.5 for error in errors)
    assert any(abs(error) > 0.5 for error in errors)


@pytest.mark.parametrize("settings", [MSE, HUBER])
def test_a_mixed_sample_has_the_mixed_target(settings: Regress) -> None:
    outputs, target = case()
    partners, lam = target.roll(1), torch.rand(len(target), generator=torch.Generator().manual_seed(1))
    found = of_batch(outputs, batch_of(target, partner_target=partners, lam=lam), settings)
    torch.testing.assert_close(found, of_batch(outputs, batch_of(lam * target + (1 - lam) * partners), settings))


def test_without_mean_and_std_targets_stay() -> None:
    _, target = case()
    torch.testing.assert_close(standardized(target, Regress()), target)
    torch.testing.assert_close(standardized(target, Regress(mean=0.0, std=2.0)), target / 2)


def test_half_precision_is_computed_in_float32() -> None:
    outputs, target = case()
    found = regression_loss(outputs.bfloat16(), target, MSE)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, (outputs.bfloat16().float()[:, 0] - target) ** 2)
