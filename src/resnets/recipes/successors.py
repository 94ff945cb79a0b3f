"""Recipes of the direct successors: pre-activation, wide nets, stochastic depth, each with its paper's settings."""

from __future__ import annotations

from dataclasses import replace

from resnets.models.catalog import find
from resnets.recipes import paper
from resnets.training.recipe import SGD, Recipe
from resnets.training.schedules import Step


def preactivation() -> Recipe:
    """Pre-activation nets on CIFAR-10: `paper/cifar` with lr 0.01 for the first 400 steps.

    Source: He et al. 2016 (1603.05027), appendix.
    Cost: 164 epochs; with memory_limit, 1001 layers at batch 128 take little memory.
    Expected: test errors of 5.46% for 164 layers and 4.92% for 1001 (table 4).
    Command: resnets train preactivation --model cifar_preact1001
    """
    recipe = replace(paper.cifar(), name="preactivation", model=find("cifar_preact164"))
    return recipe.with_overrides(paper.WARMUP_110)


def wide() -> Recipe:
    """Wide nets on CIFAR-10: 200 epochs, Nesterov momentum, lr 0.1 times 0.2 at 60, 120 and 160, weight decay 5e-4.

    Source: Zagoruyko and Komodakis 2016 (1605.07146), section 3. Images are normalised by channel.
    Cost: 200 epochs of 5.2e9 multiply-adds an image for WRN-28-10.
    Expected: a test error of 4.00% for WRN-28-10 (table 5).
    Command: resnets train wide
    """
    return replace(
        paper.cifar(),
        name="wide",
        model=find("wrn28_10"),
        normalize="channels",
        steps=None,
        epochs=200,
        optimizer=SGD(lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4),
        schedule=Step(milestones=(0.3, 0.6, 0.8), factor=0.2),
    )


def stochastic_depth() -> Recipe:
    """Stochastic depth on CIFAR-10: 110 layers, drop rate rising to 0.5 with depth, 500 epochs.

    Source: Huang et al. 2016 (1603.09382), section 4. The paper holds out 5,000 training images: holdout=5000.
    Cost: 500 epochs; dropped branches are computed, too, so it saves no time.
    Expected: a test error of 5.25% (table 1).
    Command: resnets train stochastic-depth
    """
    return replace(
        paper.cifar(),
        name="stochastic-depth",
        model=replace(find("cifar_resnet110"), drop_path=0.5),
        steps=None,
        epochs=500,
        optimizer=SGD(lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-4),
    )
