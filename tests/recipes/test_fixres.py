"""Training at a small size, then the end of the network at the size of the test."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch

import resnets
from resnets.artifacts.model import load
from resnets.core.errors import UsageError
from resnets.modalities.image.transforms import Augmentations, Flip
from resnets.recipes.catalog import find
from resnets.recipes.fixres import fixres
from resnets.training.distillation import Distillation
from resnets.training.fine_tuning import FineTuning
from resnets.training.recipe import SGD, Recipe
from tests.command_line import write_photos

pytestmark = pytest.mark.skipif(
    "fine_tuning" not in {field.name for field in fields(Recipe)}, reason="this version has no fine_tuning"
)


def test_images_are_trained_on_as_they_are_tested() -> None:
    recipe = fixres(find("fast/imagenet"), "small.safetensors", 320)
    assert recipe.preprocessing.shape() == recipe.largest_shape == (320, 320)
    assert recipe.augmentations == Augmentations(transforms=(Flip(),))
    assert recipe.optimizer == SGD(lr=0.016, momentum=0.9, weight_decay=1e-4)  # of a batch of 1,024
    assert (recipe.epochs, recipe.steps, recipe.weights) == (10, None, "small.safetensors")
    assert recipe.fine_tuning.freeze == 4  # type: ignore[attr-defined]


def test_whole_images_need_none() -> None:
    with pytest.raises(UsageError, match="fixres is for images of one size"):
        fixres(find("segmentation/small"), "small.safetensors", 320)


def test_the_last_stage_and_the_classifier_learn_and_the_rest_stays(tmp_path: Path) -> None:
    data = write_photos(tmp_path / "photos", {"train": 8, "val": 4})
    net = ["model.depths=[1,1]", "model.widths=[8,16]", "model.stem_width=8", "precision=fp32", "batch=8"]
    small = resnets.train("fast/cifar10", *net, "epochs=1", "evaluate_every=1000", data=data, size=16, device="cpu",
                          out=tmp_path / "small")  # fmt: skip
    recipe = fixres(small.folder / "recipe.json", small.model, 20, epochs=2)
    larger = resnets.train(recipe, device="cpu", out=tmp_path / "larger")
    before, after = (load(run.model).network.state_dict() for run in (small, larger))
    changed = {name.partition(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"layer2", "fc"}
    assert load(larger.model).card.preprocessing.shape() == (20, 20)


def test_what_the_first_run_did_with_its_weights_is_not_done_again() -> None:
    first = replace(
        find("finetune"), fine_tuning=FineTuning(head="probe", unfreeze=(0.1, 0.2)), teacher=Distillation(model="t")
    )
    recipe = fixres(first, "small.safetensors", 320)
    assert (recipe.fine_tuning, recipe.teacher) == (FineTuning(freeze=4), None)
