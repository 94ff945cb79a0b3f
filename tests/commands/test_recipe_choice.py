"""What `resnets train` takes where no recipe is named, and the plan that it prints."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import resnets
from resnets.commands.asked_recipe import asked_recipe
from resnets.commands.recipe_facts import data_facts
from resnets.data.splits import with_watched_split
from resnets.modalities.catalog import open_dataset
from resnets.training.plan import read_plan
from tests.command_line import call, write_photos
from tests.training.runs import make_images
from tests.training.test_size import NOTHING

# A net of two blocks in place of ResNet-18, at its smallest size.
SMALL = ("model.depths=[1,1]", "model.widths=[8,16]", "model.stem_width=8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_images(tmp_path_factory.mktemp("data"), train=8, val=3)


@pytest.fixture(scope="module")
def arrays(folder: Path) -> dict[str, tuple[Any, Any]]:
    """The images of the folder in memory."""
    found = {}
    for split in ("train", "val"):
        files = sorted((folder / split).glob("*/*.png"))
        found[split] = (
            np.stack([np.asarray(Image.open(each)) for each in files]),
            [int(each.parent.name[-1]) for each in files],
        )
    return found


def start_of(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "log.jsonl").read_text().splitlines()[0])
    return found


def plan_of(run: Path) -> str:
    """The note of a run that is its plan."""
    (plan,) = (note for note in start_of(run)["notes"] if note.startswith("the plan"))
    return str(plan)


@pytest.mark.parametrize("name", ["photos", None])
def test_photographs_are_never_trained_at_8_or_32_pixels(name: str | None, folder: Path, tmp_path: Path) -> None:
    given = [] if name is None else [name]
    result = call("train", *given, "--data", folder, "--epochs", 1, "--out", tmp_path / "run", *SMALL)
    assert result.code == 0, result.err
    recipe = read_plan(tmp_path / "run" / "recipe.json").recipe
    assert (recipe.name, recipe.largest_shape, recipe.epochs) == ("photos", (64, 64), 1)
    assert plan_of(tmp_path / "run") in result.out
    lines = {line.split()[0]: line for line in plan_of(tmp_path / "run").splitlines()[1:]}
    assert set(lines) == {"recipe", "model", "size", "batch", "rate", "length"}
    assert ("named" if name else "no weights are given") in lines["recipe"]
    assert "the images are 24 x 20 px (median)" in lines["size"]
    assert lines["length"].endswith("1 epoch: given")


def test_tables_and_arrays_have_the_recipe_of_folders(
    folder: Path, arrays: dict[str, tuple[Any, Any]], tmp_path: Path
) -> None:
    rows = [
        f"{each.relative_to(folder)},{each.parent.name},{each.parent.parent.name}" for each in folder.glob("*/*/*.png")
    ]
    (folder / "photos.csv").write_text("\n".join(["path,label,split", *rows]) + "\n")
    recipes = []
    for number, data in enumerate((str(folder / "photos.csv"), arrays)):
        run = resnets.train(*SMALL, "steps=1", data=data, out=tmp_path / str(number))
        recipe = read_plan(run.folder / "recipe.json").recipe
        recipes.append((recipe.name, recipe.preprocessing, recipe.augmentations, recipe.batch, recipe.optimizer))
    assert recipes[0] == recipes[1]
    assert recipes[0][0] == "photos"


def test_grey_images_as_small_as_digits_have_the_recipe_of_digits(tmp_path: Path) -> None:
    g = np.random.default_rng(0)
    for split, count in (("train", 8), ("val", 3)):
        for label in range(2):
            (tmp_path / "data" / split / str(label)).mkdir(parents=True)
            for number in range(count):
                pixels = g.integers(0, 255, (8, 8), dtype=np.uint8) // (label + 1)
                Image.fromarray(pixels).save(tmp_path / "data" / split / str(label) / f"{number}.png")
    run = resnets.train("steps=1", "batch=8", data=tmp_path / "data", out=tmp_path / "run")
    assert read_plan(run.folder / "recipe.json").recipe.largest_shape == (8, 8)
    assert "digits: the images are grey, of 8 x 8 px (median)" in plan_of(run.folder)


def test_what_is_given_is_never_overridden_and_said_to_be_given(folder: Path, tmp_path: Path) -> None:
    settings = ["preprocessing.resize=40", "preprocessing.crop=32", "augmentations.progressive_resize=none"]
    result = call(
        "train", "--data", folder, "--model", "cifar_resnet20", "--epochs", 1, "--out", tmp_path / "run",
        *settings, "batch=4", "optimizer.lr=0.5",
    )  # fmt: skip
    assert result.code == 0, result.err
    recipe = read_plan(tmp_path / "run" / "recipe.json").recipe
    assert (recipe.batch, recipe.optimizer.lr, recipe.largest_shape) == (4, 0.5, (32, 32))
    lines = plan_of(tmp_path / "run").splitlines()[1:]
    assert [line.split()[0] for line in lines if line.endswith(": given")] == [
        "model", "size", "batch", "rate", "length",
    ]  # fmt: skip


def test_the_rate_follows_a_batch_that_is_given(folder: Path, tmp_path: Path) -> None:
    runs = [
        resnets.train(*SMALL, *batch, "steps=1", data=folder, out=tmp_path / str(number))
        for number, batch in enumerate([(), ("batch=4",)])
    ]
    plain, given = (read_plan(run.folder / "recipe.json").recipe for run in runs)
    assert given.optimizer.lr / plain.optimizer.lr == pytest.approx((given.batch / plain.batch) ** 0.5, 1e-2)
    assert "0.06 at batch 8, as the square root of the batch" in plan_of(runs[1].folder)


def test_a_recipe_from_python_or_a_file_is_as_it_is(folder: Path, tmp_path: Path) -> None:
    own = resnets.list_recipes()["photos"].with_overrides([*SMALL, "batch=4", "steps=1", "precision=fp32"])
    run = resnets.train(own, data=folder, out=tmp_path / "run")
    again = resnets.train(run.folder / "recipe.json", out=tmp_path / "again")
    for each in (run, again):
        recipe = read_plan(each.folder / "recipe.json").recipe
        assert (recipe.batch, recipe.largest_shape) == (4, (128, 128))
        assert not any(note.startswith("the plan") for note in start_of(each.folder)["notes"])


def test_images_that_cannot_be_read_are_refused_by_name(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(6):
            (tmp_path / "data" / name / f"{number}.jpg").write_bytes(b"no image")
    result = call("train", "--data", tmp_path / "data", "--out", tmp_path / "run")
    assert result.code == 1
    assert "training images cannot be read" in result.err


def test_fine_tuning_without_weights_says_where_they_go(folder: Path, tmp_path: Path) -> None:
    result = call("train", "finetune", "--data", folder, "--out", tmp_path / "run")
    assert result.code == 2
    assert "give --weights FILE" in result.err
    assert "resnets train photos" in result.err


def test_what_is_held_out_is_not_counted(tmp_path: Path) -> None:
    """The plan names the images that are trained on, whatever holds the others out."""
    root = write_photos(tmp_path / "photos", {"train": 20, "test": 2})
    given = {**NOTHING, "data": str(root), "size": None}
    for more, settings, expected in (
        ({}, (), None), ({"val_share": 0.0}, (), 60), ({}, ("val_share=0",), 60), ({}, ("holdout=15",), 45),
        ({"fold": "1/3"}, (), None), ({"fold": "all"}, (), None),
    ):  # fmt: skip
        asked = asked_recipe("photos", settings, **{**given, **more})
        (batch,) = (why for topic, why in asked.choice.reasons if topic == "batch")
        count = int(batch.removeprefix("for ").removesuffix(" images"))
        if expected is None:
            split = asked.recipe().split
            fold = "1/5" if more.get("fold") == "all" else split.fold
            expected = len(with_watched_split(open_dataset(str(root)), "x", replace(split, fold=fold)).train)
            assert expected < 60
        assert count == expected, more


def test_the_size_for_a_time_is_that_of_the_precision(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked_for: list[str] = []
    monkeypatch.setattr("resnets.commands.recipe_choice.time_facts", lambda *given: asked_for.append(given[2]))
    given = {**NOTHING, "data": str(write_photos(tmp_path / "photos", {"train": 20})), "minutes": 1.0, "size": None}
    asked_recipe("photos", (), **{**given, "precision": "fp32"})
    asked_recipe("photos", ("precision=fp32",), **given)
    asked_recipe("photos", (), **given)
    assert asked_for == ["fp32", "fp32", "auto"]


def test_the_size_of_photographs_is_that_of_the_upright_image(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    for number in range(4):
        Image.new("RGB", (80, 60), (number, 0, 0)).save(tmp_path / f"{number}.jpg", exif=exif)
    (tmp_path / "list.csv").write_text("path,label\n" + "".join(f"{n}.jpg,{'ab'[n % 2]}\n" for n in range(4)))
    facts = data_facts(open_dataset(str(tmp_path / "list.csv")))
    assert (facts.width, facts.height) == (60, 80)
