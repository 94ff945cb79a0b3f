"""Learning rates against torch's own schedulers."""

from __future__ import annotations

import math

import pytest
import torch
from torch.optim import lr_scheduler

from resnets.core.errors import UsageError
from resnets.training.schedules import (
    Constant,
    Cosine,
    OneCycle,
    Plateau,
    PlateauState,
    Polynomial,
    Step,
    Warmup,
    factor,
    warmup_factor,
)

STEPS = 40


def torch_rates(make: object) -> list[float]:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = make(optimizer)  # type: ignore[operator]
    rates = []
    for _ in range(STEPS):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


@pytest.mark.parametrize(
    ("schedule", "peer"),
    [
        (Constant(), lambda o: lr_scheduler.LambdaLR(o, lambda _: 1.0)),
        (Step(milestones=(0.5, 0.75)), lambda o: lr_scheduler.MultiStepLR(o, [20, 30])),
        (Cosine(), lambda o: lr_scheduler.CosineAnnealingLR(o, STEPS)),
        (Polynomial(power=0.9), lambda o: lr_scheduler.PolynomialLR(o, STEPS, power=0.9)),
        (Cosine(final=0.1), lambda o: lr_scheduler.CosineAnnealingLR(o, STEPS, eta_min=0.1)),
        (
            OneCycle(peak=0.25, start=0.1, final=0.0),
            lambda o: lr_scheduler.SequentialLR(
                o,
                [lr_scheduler.LinearLR(o, 0.1, 1, 10), lr_scheduler.LinearLR(o, 1, 0, 30)],
                [10],
            ),
        ),
    ],
)
def test_schedules_are_torchs(schedule: Cosine, peer: object) -> None:
    ours = [factor(schedule, step / STEPS) for step in range(STEPS)]
    assert ours == pytest.approx(torch_rates(peer), abs=1e-7)


def test_the_papers_cifar_drops_fall_on_32k_and_48k() -> None:
    rates = [factor(Step(), step / 64_000) for step in (31_999, 32_000, 47_999, 48_000)]
    assert rates == pytest.approx([1, 0.1, 0.1, 0.01])


def test_linear_warmup_reaches_the_full_rate_and_constant_warmup_holds() -> None:
    linear, constant = Warmup(factor=0.0), Warmup(factor=0.1, shape="constant")
    assert [warmup_factor(linear, s, 4) for s in range(6)] == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1])
    assert [warmup_factor(constant, s, 2) for s in range(4)] == [0.1, 0.1, 1, 1]
    assert warmup_factor(None, 0, 0) == 1


def test_plateau_drops_as_torchs() -> None:
    losses = [1.0, 0.9, 0.9, 0.9, 0.9, 0.5, 0.6, 0.6, 0.6, 0.6, 0.4]
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    # torch drops after patience + 1 bad evaluations
    peer = lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.1, patience=1, threshold=1e-3)
    state, schedule = PlateauState(), Plateau(factor=0.1, patience=2)
    for loss in losses:
        peer.step(loss)
        state.update(schedule, loss)
        assert state.factor == pytest.approx(optimizer.param_groups[0]["lr"])
    assert state.best == 0.4


def test_a_loss_that_is_not_finite_is_no_improvement() -> None:
    state, schedule = PlateauState(), Plateau(factor=0.1, patience=3)
    for loss in (math.nan, math.inf, 2.0, 1.0):
        state.update(schedule, loss)
    assert (state.best, state.bad, state.factor) == (1.0, 0, 1.0)
    for loss in (math.nan, 1.0, math.nan):
        state.update(schedule, loss)
    assert (state.best, state.bad, state.factor) == (1.0, 0, 0.1)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Step(milestones=(0.75, 0.5)),
        lambda: Step(milestones=(30.0,)),
        lambda: OneCycle(peak=1.0),
        lambda: Warmup(factor=2.0),
    ],
)
def test_impossible_schedules_are_refused(make: object) -> None:
    with pytest.raises(UsageError):
        make()  # type: ignore[operator]


def test_a_schedule_never_rises_above_the_recipes_rate() -> None:
    for schedule in (Constant(), Step(), Cosine(), OneCycle(), Plateau()):
        assert all(0 <= factor(schedule, s / 97) <= 1 + 1e-12 for s in range(97)), schedule
    assert math.isclose(factor(OneCycle(), 0.25), 1)
