"""Recipes that reach an accuracy in the least time, with the ideas of the speedruns in the one loop."""

from __future__ import annotations

from resnets.data.views import Flip, PaddedCrop, Views
from resnets.models.catalog import find
from resnets.models.initialization import Initialization
from resnets.preprocessing import Preprocessing
from resnets.training.recipe import Muon, Recipe
from resnets.training.schedules import OneCycle


def cifar10() -> Recipe:
    """CIFAR-10 in few epochs: a short, wide residual net behind a stem that whitens, trained with Muon.

    Source: Jordan 2024 (2404.00498) and its later scripts (cifar10-airbench), for a residual net in the manner of Page
    2018: whitened stem, identity in the first weights, Muon, a rate that falls in a straight line, alternating flip,
    reflected borders, tests that look at six moved and mirrored views.
    Command: resnets train fast/cifar10
    """
    return Recipe(
        name="fast/cifar10",
        data="cifar10",
        model=find("cifar_fast"),
        preprocessing=Preprocessing(resize=32, crop=32),
        normalize="channels",
        views=Views(augment=(PaddedCrop(padding=2, fill="reflect"), Flip(alternating=True))),
        batch=500,
        epochs=8,
        optimizer=Muon(lr=0.12, momentum=0.6, classifier_lr=0.01, vector_lr=5.0, decay=2e-3),
        schedule=OneCycle(peak=0),
        label_smoothing=0.2,
        initialization=Initialization(identity=True, classifier_std=1 / 256),
        test_view="shift",
        evaluate_every=8,
    )
