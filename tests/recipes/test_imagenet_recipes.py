"""The recipes of timm and torchvision for ImageNet, on real files, from the command line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import timm.data.transforms_factory
import torch

import resnets
from resnets.artifacts.model import load
from resnets.cli import main
from resnets.core.config import encode
from resnets.modalities.image.preprocessing import Preprocessing
from resnets.modalities.image.transforms import Augmentations, RandAugment
from resnets.recipes.catalog import find
from resnets.tasks.classification.settings import Classify
from resnets.training import build, prepare
from resnets.training.recipe import SGD
from tests.training.runs import make_images, sha_of

NAMES = ("timm/a1", "timm/a2", "timm/a3", "timm/ra4", "torchvision/v2")
SMALL = (
    "model.depths=[1,1]",
    "model.widths=[8,16]",
    "model.stem_width=8",
    "preprocessing.resize=20",
    "preprocessing.crop=16",
    "batch=12",
    "bn_batch=6",
    "warmup=none",
    "precision=fp32",
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_images(tmp_path_factory.mktemp("data"), train=8, val=3)


def augmentations_of(name: str) -> Augmentations:
    found = find(name).augmentations
    assert isinstance(found, Augmentations)
    return found


def sizes(name: str) -> tuple[str, ...]:
    """The overrides that make a recipe small."""
    grows = find(name).augmentations.largest_size is not None
    smaller = ("augmentations.progressive_resize.start=12", "augmentations.progressive_resize.stop=12")
    return (*SMALL, *(smaller if grows else ()))


@pytest.mark.parametrize("name", NAMES)
def test_an_epoch_of_it_trains_and_is_written(name: str, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert main(["train", name, "--data", str(data), "--out", str(out), *sizes(name), "--epochs", "1"]) == 0
    assert resnets.evaluate(out, data=str(data)).metrics["samples"] == 9
    settings = load(out).card.settings  # but for the temperature, the same whatever loss it was trained with
    assert replace(settings, temperature=None) == Classify()  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["timm/a1", "timm/ra4", "torchvision/v2"])
def test_a_resumed_run_has_the_same_weights(name: str, data: Path, tmp_path: Path) -> None:
    class CutError(BaseException):  # an Exception of a subscriber does not end the run
        pass

    def subscriber(event: dict[str, object]) -> None:
        if event["event"] == "step" and int(str(event["step"])) >= 4:
            raise CutError

    def train(folder: str, **more: object) -> None:
        resnets.train(name, *sizes(name), data=str(data), epochs=3, out=tmp_path / folder, checkpoint_steps=2, **more)  # type: ignore[arg-type]

    train("whole", workers=2)
    with pytest.raises(CutError):
        train("cut", workers=0, subscribers=(subscriber,))
    resnets.resume(tmp_path / "cut")
    assert sha_of(tmp_path / "cut") == sha_of(tmp_path / "whole")


@pytest.mark.parametrize("name", NAMES)
def test_ranks_make_the_rows_of_the_global_batch(name: str, data: Path) -> None:
    recipe, found = prepare.resolve(find(name).with_overrides([*sizes(name), "steps=4", f"data={data}"]))
    cpu = torch.device("cpu")
    whole = build.batches_for(recipe, found, device=cpu).make(2)
    for rows in (slice(0, 6), slice(6, 12)):
        part = build.batches_for(recipe, found, device=cpu, rows=rows).make(2)
        for key in whole.dense:
            assert torch.equal(part[key], whole[key][rows]), key
    copies = recipe.repeated_augmentation
    assert whole["ids"].unique(return_counts=True)[1].max() == copies
    assert ("lam" in whole.dense) == bool(augmentations_of(name).mix)
    assert "lam" not in whole.dense or len(whole["lam"].unique()) == 1


@pytest.mark.parametrize(("name", "text"), [("timm/a1", "rand-m7-mstd0.5-inc1"), ("timm/ra4", "rand-m8-inc1-mstd1.0")])
def test_rand_augment_is_the_one_that_timms_loader_makes_of_its_text(name: str, text: str) -> None:
    policy, preprocessing = augmentations_of(name).auto_augment, find(name).preprocessing
    assert isinstance(policy, RandAugment)
    assert isinstance(preprocessing, Preprocessing)
    theirs = timm.data.transforms_factory.create_transform(
        224, is_training=True, auto_augment=text, interpolation="random", mean=preprocessing.mean
    ).transforms[2]
    op = theirs.ops[0]
    assert (op.kwargs["fillcolor"], op.magnitude, op.magnitude_std) == (policy.fill, policy.magnitude, policy.std)
    assert (op.prob, len(theirs.ops), theirs.num_layers) == (policy.p, 15, policy.layers)
    assert [each.name.lower() for each in op.kwargs["resample"]] == ["bilinear", "bicubic"]


def test_ra4_is_normalised_and_tested_as_timms_model() -> None:
    ours, cfg = find("timm/ra4").preprocessing, timm.get_pretrained_cfg("resnet50d.ra4_e3600_r224_in1k")
    assert isinstance(ours, Preprocessing)
    theirs = vars(cfg)
    assert (ours.mean, ours.std, ours.interpolation) == (theirs["mean"], theirs["std"], theirs["interpolation"])
    side = theirs["test_input_size"][1]
    assert (ours.crop, ours.resize) == (side, side / theirs["test_crop_pct"])


def test_the_average_of_torchvisions_recipe_forgets_as_fast_as_theirs() -> None:
    """Theirs blends in 1 - 0.99998 times batch * steps / epochs, once in 32 steps."""
    ema = find("torchvision/v2").ema
    assert ema is not None
    assert 1 - ema**32 == pytest.approx((1 - 0.99998) * 1024 * 32 / 600, rel=1e-6)


def test_recipes_without_the_new_settings_are_written_as_before() -> None:
    for name in ("paper/cifar", "paper/imagenet", "fast/imagenet", "digits"):
        written = encode(find(name))
        assert "repeated_augmentation" not in written
        assert "task" not in written
        assert not {"auto_augment", "erasing"} & written["augmentations"].keys()
    assert isinstance(find("torchvision/v2").optimizer, SGD)
