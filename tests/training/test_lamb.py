"""LAMB against timm's, and in the loop."""

from __future__ import annotations

from dataclasses import replace

import pytest
import timm.optim.lamb
import torch
from torch import nn

from resnets.core.errors import UsageError
from resnets.models.initialize import create
from resnets.training import optimizers
from resnets.training.recipe import LAMB
from tests.training.test_loop import RECIPE, losses_of, training_of


@pytest.mark.parametrize("decay_norms", [False, True])
def test_ten_steps_are_timms(decay_norms: bool) -> None:
    """Among the weights are some that are all 0 and some whose gradient is."""
    g = torch.Generator().manual_seed(1)
    start = [torch.randn(8, 3, 3, 3, generator=g), torch.zeros(5, 8), torch.randn(8, generator=g), torch.randn(2, 2)]
    ours, theirs = (nn.ParameterList(value.clone() for value in start) for _ in range(2))
    decay = 0.02
    groups = [
        {"params": [p for p in theirs if p.ndim > 1], "weight_decay": decay},
        {"params": [p for p in theirs if p.ndim <= 1], "weight_decay": decay if decay_norms else 0.0},
    ]
    peer = timm.optim.lamb.Lamb(groups, lr=5e-3, max_grad_norm=None)
    own = optimizers.build(LAMB(lr=5e-3, weight_decay=decay, decay_norms=decay_norms), ours)
    for step in range(10):
        for first, second in zip(ours, theirs, strict=True):
            gradient = torch.randn(first.shape, generator=g) * 10.0 ** (step - 5)
            first.grad, second.grad = gradient.clone(), gradient.clone()
        ours[3].grad, theirs[3].grad = torch.zeros(2, 2), torch.zeros(2, 2)
        own.step(5e-3, torch.zeros(()))
        peer.step()
        for first, second in zip(ours, theirs, strict=True):
            torch.testing.assert_close(first, second, atol=1e-6, rtol=1e-5)
    assert not torch.equal(ours[1], start[1])


def test_clip_norm_of_the_recipe_is_timms_own_clipping() -> None:
    recipe = replace(RECIPE, optimizer=LAMB(lr=5e-3, weight_decay=0.02), clip_norm=1.0)
    training, batches = training_of(recipe)
    network = create(recipe.model, seed=recipe.seed, how=recipe.initialization)
    groups = [
        {"params": [p for p in network.parameters() if p.ndim > 1], "weight_decay": 0.02},
        {"params": [p for p in network.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    peer = timm.optim.lamb.Lamb(groups, lr=5e-3)
    for step in range(4):
        batch = batches.make(step)
        network.train()
        loss = torch.nn.functional.cross_entropy(network(batch["inputs"]), batch["labels"])
        peer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        for group in peer.param_groups:
            group["lr"] = training.learning_rate(step)
        peer.step()
        assert training.step(batch).item() == pytest.approx(loss.item(), rel=1e-4)


def test_a_step_with_infinite_gradients_changes_nothing() -> None:
    parameters = nn.ParameterList([torch.ones(3, 3)])
    own = optimizers.build(LAMB(), parameters)
    parameters[0].grad = torch.full((3, 3), torch.inf)
    own.step(5e-3, torch.ones(()))
    assert torch.equal(parameters[0], torch.ones(3, 3))
    assert all(not state.any() for state in own.state[parameters[0]].values())


def test_it_trains() -> None:
    losses = losses_of(replace(RECIPE, optimizer=LAMB(lr=0.02), steps=40))
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(UsageError, match="LAMB needs beta1"):
        LAMB(beta2=1.0)
