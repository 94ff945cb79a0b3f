"""The size of a recipe's inputs by one setting, and runs, answers and reports of rectangles and whole images."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import resnets
from resnets.artifacts.model import load
from resnets.commands.asked_recipe import asked_recipe
from resnets.core.errors import UsageError
from resnets.modalities.image.canvas import Canvas
from resnets.modalities.image.preprocessing import Preprocessing
from resnets.modalities.image.transforms import (
    Augmentations,
    Cutout,
    Flip,
    PaddedCrop,
    ProgressiveResize,
    ScaledCrop,
)
from resnets.modalities.image.transforms.random_scale_crop import RandomScaleCrop
from resnets.recipes.catalog import find
from resnets.training.size import notes_on_size, with_range, with_size
from tests.command_line import Result, call, write_photos

NET = ["model.depths=[1,1]", "model.widths=[8,16]", "model.stem_width=8", "precision=fp32", "batch=8"]
NOTHING: dict[str, Any] = dict.fromkeys(
    ("data", "format", "model", "weights", "teacher", "epochs", "minutes", "val_share", "group_by", "fold",
     "large_batch", "memory_limit", "seed", "precision", "balance", "unknown_below", "accuracy")
) | {"device": "cpu"}  # fmt: skip
RUN = ["epochs=1", "evaluate_every=1000", "--device", "cpu", "--workers", 1]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_photos(tmp_path_factory.mktemp("photos"), {"train": 6, "val": 4})


@pytest.fixture(scope="module")
def wide(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on letterboxed images of 24 x 16 pixels (width x height)."""
    out = tmp_path_factory.mktemp("runs") / "wide"
    fit = ["preprocessing.fit=letterbox", "--size", "24x16", "normalize=mean image"]
    found = call("train", "paper/cifar", "--data", photos, *NET, *fit, *RUN, "--out", out)
    assert found.code == 0, found.err
    return out


def trained(photos: Path, out: Path, *settings: object) -> str:
    found = call("train", "fast/cifar10", "--data", photos, *NET, *settings, *RUN, "--out", out)
    assert found.code == 0, found.err
    return str(resnets.describe(str(out)).weights_sha256)


def test_one_flag_is_the_settings_that_it_stands_for(photos: Path, tmp_path: Path) -> None:
    by_hand = ["preprocessing.resize=16", "preprocessing.crop=16",
               'augmentations.transforms=[{"kind":"PaddedCrop","padding":1,"fill":"reflect"},'
               '{"kind":"Flip","alternating":true}]']  # fmt: skip
    small = ["normalize=given"]
    assert trained(photos, tmp_path / "a", "--size", 16, *small) == trained(photos, tmp_path / "b", *by_hand, *small)
    again = resnets.train("fast/cifar10", *NET, *small, "epochs=1", "evaluate_every=1000", data=photos, size=(16, 16),
                          device="cpu", out=tmp_path / "c")  # fmt: skip
    assert resnets.describe(again).weights_sha256 == resnets.describe(str(tmp_path / "a")).weights_sha256


@pytest.mark.parametrize(
    ("size", "start", "stop", "multiple"),
    [
        (256, 160, 192, 32),
        (128, 80, 96, 16),
        (224, 128, 160, 32),
        (64, 40, 48, 8),
        (32, 20, 24, 4),
        (512, 320, 384, 64),
    ],
)
def test_growth_keeps_its_ratio_to_the_tested_size(size: int, start: int, stop: int, multiple: int) -> None:
    grown = with_size(find("fast/imagenet"), size).augmentations
    assert isinstance(grown, Augmentations)
    found = grown.progressive_resize
    assert found == ProgressiveResize(start=start, stop=stop, multiple=multiple)
    assert all(found.at(share) <= size for share in np.linspace(0, 1, 20))


def test_growth_to_the_tested_size_ends_at_the_new_one() -> None:
    grows = ProgressiveResize(start=128, stop=224)
    assert grows.scaled(224, 200).stop == 200
    assert grows.scaled(224, 240).stop == 240


def test_what_is_given_in_pixels_keeps_its_share() -> None:
    augmentations = Augmentations(
        crop=ScaledCrop(min_size=256, max_size=480),
        transforms=(PaddedCrop(padding=28), Flip(), Cutout(size=112), PaddedCrop(padding=0)),
    )
    found = augmentations.with_size(224, 112)
    assert found.crop == ScaledCrop(min_size=128, max_size=240)
    assert found.transforms == (PaddedCrop(padding=14), Flip(), Cutout(size=56), PaddedCrop(padding=0))
    assert augmentations.with_size(224, 224) is augmentations


@pytest.mark.parametrize(("recipe", "size"), [("fast/imagenet", 128), ("paper/imagenet", (128, 96)), ("digits", 64)])
def test_the_own_size_changes_nothing(recipe: str, size: Any) -> None:
    was = find(recipe)
    own = was.preprocessing.shape()
    assert with_size(was, (own[0], own[1])) == was
    assert with_size(was, size) != was


def test_training_at_a_larger_size_than_the_test_is_said(photos: Path, tmp_path: Path) -> None:
    recipe = find("fast/imagenet")
    assert notes_on_size(recipe) == notes_on_size(with_size(recipe, 64)) == ()
    overrides = ["preprocessing.resize=20", "preprocessing.crop=16", "augmentations.progressive_resize.start=16",
                 "augmentations.progressive_resize.stop=24", "augmentations.progressive_resize.multiple=8"]  # fmt: skip
    stem = ["model.stem=cifar"]
    found = call("train", "fast/imagenet", "--data", photos, *NET, *stem, *overrides, *RUN, "--out", tmp_path / "run")
    assert "Note: Training grows to 24 px, and the model is tested at 16 px: " in found.err
    assert "augmentations.progressive_resize.stop=16" in found.err


def test_a_range_is_of_whole_images_in_training_and_its_largest_size_of_the_test() -> None:
    recipe = with_range(find("segmentation/small"), 240, 480)
    assert isinstance(recipe.preprocessing, Canvas)
    assert (recipe.preprocessing.resize, recipe.preprocessing.crop) == (480, (320, 427))
    assert recipe.augmentations.crop == RandomScaleCrop(min_scale=0.5, max_scale=1.0)  # type: ignore[union-attr]
    asked = asked_recipe("segmentation/small", (), **{**NOTHING, "size": "240-480"}).recipe()
    assert (asked.preprocessing, asked.augmentations) == (recipe.preprocessing, recipe.augmentations)


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["paper/imagenet", "--size", "16385"], "size must be from 1 to 16384, not 16385"),
        (["digits", "--size", "0"], "size must be from 1 to 16384, not 0"),
        (["digits", "--size", "big"], "size takes a whole number or WIDTHxHEIGHT"),
        (["digits", "--size", "480-640"], "480-640 is a range"),
        (["segmentation/small", "--size", "640-480"], "the least size must be from 1 to 480, not 640"),
        (["segmentation/small", "--size", "480-99999"], "the largest size must be from 1 to 16384, not 99999"),
        (["audio/logmel", "--size", "480-640"], "480-640 is a range of pixels, and these are recordings"),
        (["segmentation/small", "--size", "320x240"], r"size is one number here, the shorter side"),
        (["audio/logmel", "--size", "64"], "Recordings have no size in pixels"),
        (["digits", "--imgsz", "64"], "did you mean --size?"),
        (["digits", "imgsz=64"], "The size is no setting: give --size 64"),
    ],
)
def test_sizes_that_cannot_be_are_refused(argv: list[str], said: str, tmp_path: Path) -> None:
    found = call("train", *argv, "--out", tmp_path / "run")
    assert (found.code, said in found.err) == (2, True), found.err


def test_a_run_on_rectangles_says_what_it_is(wide: Path, photos: Path, tmp_path: Path) -> None:
    card = load(wide).card
    assert isinstance(card.preprocessing, Preprocessing)
    assert (card.preprocessing.shape(), card.preprocessing.fit, card.format) == ((16, 24), "letterbox", 2)
    assert card.preprocessing.mean_pixels().shape == (3, 16, 24)
    described = call("describe", wide, "--json").json
    assert (described["size"], described["input_shape"]) == ([16, 24], [3, 16, 24])
    half = resnets.describe(str(wide), size=(16, 12)).multiply_adds
    assert described["multiply_adds"] == pytest.approx(2 * half, rel=1e-3)
    call("evaluate", wide, "--out", tmp_path / "e")
    assert "whole in 24x16, filled with [114, 114, 114]" in (tmp_path / "e" / "report.html").read_text()
    assert call("resume", wide, "--epochs", "+1").code == 0


def test_predictions_of_rectangles_are_those_that_evaluation_scores(wide: Path, photos: Path) -> None:
    for runtime in ("torch", "folded"):
        scores = resnets.evaluate(wide, split="val", tta="flip", runtime=runtime)
        files = sorted(photos.glob("val/*/*.jpg"))
        found = resnets.predict(wide, *files, top=1, tta="flip", runtime=runtime)
        assert [each[0][1] for each in found] == pytest.approx(scores.records["confidence"].tolist(), abs=1e-6)


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_graphs_of_a_square_take_rectangles(runtime: Any, wide: Path, photos: Path) -> None:
    pytest.importorskip(runtime)
    pytest.importorskip("onnxscript")
    files = sorted(photos.glob("val/*/*.jpg"))
    expected = load(wide).probabilities(files)
    torch.testing.assert_close(load(wide, runtime=runtime).probabilities(files), expected, rtol=0, atol=5e-3)  # of bf16


@pytest.fixture(scope="module")
def square(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "square"
    trained(photos, out, "--size", 16)
    return out


def test_another_size_is_that_of_a_model_with_it(square: Path, photos: Path, tmp_path: Path) -> None:
    model = load(square)
    own = model.card.preprocessing
    assert isinstance(own, Preprocessing)
    larger = replace(model.card, preprocessing=replace(own, resize=20, crop=20))
    resnets.save(model.network, tmp_path / "20.safetensors", like=replace(model, card=larger))
    expected = resnets.evaluate(tmp_path / "20.safetensors", data=photos, split="val", tta="center")
    for given in (square, model, resnets.load(square)):
        found = resnets.evaluate(given, data=photos, split="val", size=20, tta="center")
        assert found.loss == expected.loss
        assert found.size == 20
    assert resnets.evaluate(load(square, size=20), data=photos, split="val", tta="center").loss == expected.loss
    assert expected.loss != resnets.evaluate(square, data=photos, split="val", tta="center").loss
    assert model.card.preprocessing.shape() == (16, 16)


def test_the_answers_say_the_size(square: Path, photos: Path) -> None:
    note = "used at another size than its own: RGB, covering 20x18, centre 20x18, bilinear."
    found = call("evaluate", square, "--split", "val", "--size", "20x18", "--json")
    assert (found.json["size"], note in found.err) == ([18, 20], True)
    image = next(photos.glob("val/*/*.jpg"))
    found = call("predict", square, image, "--size", "20x18", "--json")
    assert (found.json["size"], note in found.err) == ([18, 20], True)
    assert "size" not in call("predict", square, image, "--json").json
    scores = call("evaluate", square, "--split", "val", "--size", "18", "--json")
    assert json.loads(scores.out)["size"] == 18


def test_a_model_keeps_the_size_of_its_mean_image_and_its_least_size(wide: Path, square: Path) -> None:
    with pytest.raises(UsageError, match="mean image of 24x16 px, which other sizes do not have"):
        resnets.evaluate(wide, size=32)
    least = load(square).spec.least_size
    if least > 1:
        with pytest.raises(UsageError, match=f"{least - 1} px input is too small for this model"):
            resnets.predict(square, "x.png", size=least - 1)


@pytest.mark.slow
def test_random_crops_of_rectangles_are_the_same_whatever_the_workers(photos: Path, tmp_path: Path) -> None:
    def run(name: str, *settings: object) -> Result:
        crops = ["preprocessing.resize=20", "preprocessing.crop=[16,24]", "augmentations.crop=RandomResizedCrop",
                 'augmentations.progressive_resize={"start":16,"stop":16,"multiple":8}']  # fmt: skip
        return call("train", "fast/cifar10", "--data", photos, *NET, *crops, *RUN[:-1], *settings, "--out",
                    tmp_path / name)  # fmt: skip

    assert run("a", 0, "normalize=given").code == 0
    assert run("b", 2, "normalize=given").code == 0
    hashes = {resnets.describe(str(tmp_path / name)).weights_sha256 for name in "ab"}
    assert len(hashes) == 1


def test_the_speed_of_rectangles_is_measured() -> None:
    found = call(
        "benchmark", "cifar_resnet20", "--size", "24x16", "--batch", 2, "--steps", 1, "--device", "cpu", "--json"
    )
    assert found.code == 0, found.err
    assert found.json["size"] == [16, 24]
