"""Muon against torch's own, against the singular value decomposition, and in the loop."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from resnets.core.errors import UsageError
from resnets.models.initialization import Initialization
from resnets.models.initialize import create
from resnets.training import muon, optimizers
from resnets.training.recipe import Muon
from tests.training.test_loop import RECIPE, losses_of, training_of


@pytest.mark.parametrize("shape", [(8, 4, 3, 3), (40, 3, 3, 3), (16, 16)])
def test_momentum_made_orthogonal_has_its_singular_vectors_and_values_near_one(shape: tuple[int, ...]) -> None:
    kernel = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    left, _, right = torch.linalg.svd(kernel.flatten(1), full_matrices=False)
    diagonal = left.T @ muon.orthogonal(kernel, iterations=8).flatten(1) @ right.T
    assert diagonal.diagonal().min() > 0.6
    assert diagonal.diagonal().max() < 1.25
    torch.testing.assert_close(diagonal, torch.diag(diagonal.diagonal()), atol=1e-4, rtol=0)


@pytest.mark.parametrize("iterations", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("shape", [(8, 4, 3, 3), (40, 3, 3, 3), (16, 16), (6, 5, 2, 3, 2)])
def test_iterations_on_the_gram_matrix_are_those_on_the_whole(shape: tuple[int, ...], iterations: int) -> None:
    kernel = torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    x = kernel.flatten(1) / kernel.norm()
    for _ in range(iterations):
        x = 3.4445 * x - 4.7750 * (x @ x.T @ x) + 2.0315 * (x @ x.T @ x @ x.T @ x)
    torch.testing.assert_close(muon.orthogonal(kernel, iterations).flatten(1), x, atol=1e-6, rtol=0)


@pytest.mark.parametrize("iterations", [3, 8, 30])
@pytest.mark.parametrize("smallest", [1e-1, 1e-2, 1e-4])
def test_no_singular_value_runs_away_in_bf16(smallest: float, iterations: int) -> None:
    g = torch.Generator().manual_seed(1)
    left, right = (torch.linalg.qr(torch.randn(side, 96, generator=g))[0] for side in (96, 500))
    kernel = left * torch.logspace(0, math.log10(smallest), 96) @ right.T
    found = muon.orthogonal(kernel.bfloat16().view(96, 20, 5, 5), iterations)
    assert found.dtype == torch.bfloat16
    assert torch.linalg.svdvals(found.flatten(1).float()).max() < 1.25


def test_a_step_is_torchs_muon_but_for_the_norm_that_weights_are_kept_at() -> None:
    g = torch.Generator().manual_seed(2)
    ours, theirs = (nn.Parameter(torch.zeros(12, 20)) for _ in range(2))
    start = torch.randn(12, 20, generator=g)
    start *= 12**0.5 / start.norm()
    peer = torch.optim.Muon([theirs], lr=0.1, momentum=0.6, weight_decay=0.0, nesterov=True, ns_steps=5)
    rule = muon.Orthogonal(momentum=0.6, iterations=5, dtype=torch.bfloat16)  # as theirs
    own = optimizers.Optimizer([optimizers.ParameterGroup([ours], rule)])
    for _ in range(3):
        gradient = torch.randn(12, 20, generator=g)
        before = theirs.detach().clone()
        for parameter, step in ((ours, partial(own.step, 0.1, torch.zeros(()))), (theirs, peer.step)):
            parameter.data.copy_(start)
            parameter.grad = gradient.clone()
            step()
        assert not torch.equal(before, theirs)
        # Theirs blends gradient and momentum with weights that add up to 1: another scale, which is divided out.
        torch.testing.assert_close(ours, theirs, atol=4e-3, rtol=0)


def test_weights_keep_their_norm_and_everything_moves() -> None:
    training, batches = training_of(replace(RECIPE, optimizer=Muon(lr=0.1, classifier_lr=0.5), steps=40))
    first = {name: p.detach().clone() for name, p in training.network.named_parameters()}
    losses = [training.step(batch).item() for batch in batches.between(0, 40)]
    assert sum(losses[-5:]) < 0.4 * sum(losses[:5])
    for name, parameter in training.network.named_parameters():
        assert not torch.equal(parameter, first[name]), name
        if parameter.ndim == 4:
            assert parameter.norm().item() == pytest.approx(len(parameter) ** 0.5, rel=0.1)


def test_each_group_follows_the_schedule_at_its_own_rate() -> None:
    choice = Muon(lr=0.2, classifier_lr=0.1, vector_lr=0.4)
    training, batches = training_of(replace(RECIPE, optimizer=choice))
    heard: list[optimizers.Rate] = []

    class Heard:
        def begin(self, parameter: nn.Parameter) -> dict[str, Tensor]:
            return {}

        def step(
            self, parameters: object, gradients: object, states: object, lr: optimizers.Rate, found_inf: object
        ) -> None:
            heard.append(lr)

    groups = [replace(group, rule=Heard()) for group in training.optimizer.groups]
    training.optimizer = optimizers.Optimizer(groups)
    for batch in batches.between(0, 6):
        training.step(batch)
    rate = training.learning_rate(5)
    assert 0 < rate < 0.2
    assert heard[-3:] == pytest.approx([rate, rate / 2, rate * 2])


def test_decay_is_a_share_of_the_weights_at_the_full_rate() -> None:
    network = create(RECIPE.model)
    optimizer = optimizers.build(Muon(decay=0.01, classifier_lr=0.5, vector_lr=3.0), network)
    before = network.fc.weight.detach().clone()
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step(Muon().lr, found_inf=torch.zeros(()))
    # Nesterov: a first step counts 1 + momentum times.
    torch.testing.assert_close(network.fc.weight, before * (1 - 0.01 * (1 + 0.85)))


def test_a_bad_step_leaves_weights_and_momentum_as_they_were() -> None:
    training, batches = training_of(replace(RECIPE, optimizer=Muon(lr=0.02), nonfinite="skip"))
    training.step(batches.make(0))
    before = {name: value.clone() for name, value in training.state().items() if "num_batches" not in name}
    bad = batches.make(1)
    bad["inputs"][0, 0, 0, 0] = float("nan")
    training.step(bad)
    after = training.state()
    assert int(training.skipped) == 1
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_a_branch_that_begins_as_nothing_learns() -> None:
    how = Initialization(zero_init_last=True)
    recipe = replace(RECIPE, model=replace(RECIPE.model, preactivation=True), initialization=how, steps=4)
    training, batches = training_of(replace(recipe, optimizer=Muon(lr=0.02)))
    last = training.network.get_parameter("layer1.0.conv2.weight")
    assert not last.any()
    for batch in batches.between(0, 4):
        assert training.step(batch).isfinite()
    assert all(p.isfinite().all() for p in training.network.parameters())
    assert last.any()


def test_ghost_batches_change_only_rounding() -> None:
    recipe = replace(RECIPE, model=replace(RECIPE.model, norm="group"), optimizer=Muon(lr=0.02), steps=3)
    assert losses_of(replace(recipe, bn_batch=8)) == pytest.approx(losses_of(recipe), rel=1e-4)


@pytest.mark.parametrize(
    "wrong", [{"lr": 0.0}, {"momentum": 1.0}, {"decay": 1.0}, {"iterations": 0}, {"vector_lr": -1}]
)
def test_settings_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="Muon needs"):
        Muon(**wrong)  # type: ignore[arg-type]
