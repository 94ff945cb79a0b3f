"""Unusual names of files and classes are read where their meaning is clear, else answered with what mends them."""

from __future__ import annotations

import shutil
import subprocess
import unicodedata
from pathlib import Path
from typing import Any, Literal

import pytest
from PIL import Image

import resnets
from tests.command_line import call, write_photos
from tests.mistakes.training import TWO, train


@pytest.mark.parametrize("ending", [".jfif", ".JFIF", ""])
def test_images_under_another_name_are_named_with_a_command_that_renames_them(
    ending: str, tmp_path: Path, run: Path
) -> None:
    data = write_photos(tmp_path / "my photos", {"": 3}, TWO)
    for path in sorted(data.glob("*/*.jpg")):
        path.rename(path.with_suffix(ending))
    found = train(data, tmp_path / "run")
    assert found.code == 1
    assert "my photos holds no images" not in found.out
    called = f"called {ending.lower()}" if ending else "without an ending"
    assert f"files {called}, such as blue/0{ending}, are images by their content" in found.err
    command = found.err.split("rename them: ")[1].splitlines()[0]
    assert command.startswith("find ")
    # What predict is given says what it is by its content.
    assert len(resnets.predict(run, data)) == 6
    subprocess.run(command, shell=True, check=True)
    assert len(list(data.glob("*/*.jpg"))) == 6
    assert train(data, tmp_path / "run").code == 0


def test_images_under_another_name_stay_out_of_a_run_and_a_note_says_so(
    photos: Path, run: Path, tmp_path: Path
) -> None:
    more = shutil.copytree(photos, tmp_path / "photos")
    shutil.copy(more / "train" / "red" / "0.jpg", more / "train" / "red" / "9.jfif")
    again = train(more, tmp_path / "run")
    assert "files called .jfif, such as red/9.jfif, are images by their content" in again.out
    assert resnets.describe(tmp_path / "run").weights_sha256 == resnets.describe(run).weights_sha256


def test_an_image_with_a_mask_under_another_name_is_named_with_the_command(tmp_path: Path) -> None:
    for number in range(2):
        for folder, mode in (("images", "RGB"), ("masks", "L")):
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.new(mode, (8, 8), number).save(tmp_path / folder / f"{number}.{'jpg' if mode == 'RGB' else 'png'}")
    (tmp_path / "images" / "1.jpg").rename(tmp_path / "images" / "1.jfif")
    found = call("train", "--data", tmp_path)
    assert found.code == 1
    assert "1.png is a mask without an image" in found.err
    assert f"rename them: find {tmp_path / 'images'} -type f -iname '*.jfif'" in found.err


def test_a_table_reads_images_of_any_name(photos: Path, tmp_path: Path) -> None:
    shutil.copytree(photos / "train" / "red", tmp_path / "d")
    (tmp_path / "d" / "0.jpg").rename(tmp_path / "d" / "0.jfif")
    rows = [f"d/{number}.{'jfif' if number == 0 else 'jpg'},{number % 2}" for number in range(4)]
    (tmp_path / "table.csv").write_text("\n".join(["path,label", *rows]))
    assert train(tmp_path / "table.csv", tmp_path / "run").code == 0


def test_kaggles_flat_test_is_left_out_with_how_to_predict_it(photos: Path, tmp_path: Path) -> None:
    data = shutil.copytree(photos, tmp_path / "photos")
    shutil.copytree(data / "val" / "red", data / "test")
    found = train(data, tmp_path / "run")
    assert found.code == 0
    said = f"{data / 'test'} has no class folders: its 2 images have no labels, and there is no split test. To predict"
    assert said in found.out
    assert f"resnets predict RUN {data / 'test'}" in found.out
    assert len(call("predict", tmp_path / "run", data / "test", "--json").json["predictions"]) == 2
    (data / "test").rename(data / "inner")
    shutil.move(data / "inner", data / "test" / "unknown")
    assert said in train(data, tmp_path / "again").out
    (data / "test" / "unknown").rename(data / "test" / "green")
    assert "classes that the model was not trained on: green" in train(data, tmp_path / "third").err


@pytest.mark.parametrize("change", [lambda name: unicodedata.normalize("NFD", name), lambda name: f"{name} "])
def test_class_names_in_another_form_are_the_same_class(change: Any, photos: Path, tmp_path: Path) -> None:
    names = {"blue": "blé", "red": "größe"}
    data = shutil.copytree(photos, tmp_path / "photos")
    for split in ("train", "val"):
        for old, new in names.items():
            (data / split / old).rename(data / split / (new if split == "train" else change(new)))
    run = tmp_path / "run"
    assert train(data, run).code == 0
    assert resnets.load(run).classes == ("blé", "größe")
    whole = resnets.evaluate(run)
    alone = resnets.evaluate(run, data=str(data / "val"), split="all")
    assert whole.metrics["accuracy"] == alone.metrics["accuracy"]
    assert alone.notes == ()
    assert set(alone.metrics["classes"]) == {"blé", "größe"}

    shutil.copytree(data / "train" / "blé", data / "val" / "blé")
    found = train(data, tmp_path / "again")
    assert found.code == 1
    assert "has the class " in found.err
    assert "but for blanks or the form of its letters (NFC, NFD). Rename one of them" in found.err


def test_classes_of_training_that_look_the_same_are_noted(photos: Path, tmp_path: Path) -> None:
    data = shutil.copytree(photos, tmp_path / "photos")
    shutil.copytree(data / "train" / "red", data / "train" / "red ")
    assert "2 classes that look the same, 'red' and 'red '" in train(data, tmp_path / "run").out


def test_labels_of_a_table_in_another_form_are_the_same(photos: Path, tmp_path: Path) -> None:
    data = shutil.copytree(photos, tmp_path / "photos")
    label = "größe"
    rows = ["path,label,split"]
    for split in ("train", "val"):
        form: Literal["NFC", "NFD"] = "NFC" if split == "train" else "NFD"
        for color, name in (("red", label), ("blue", "blau")):
            rows += [f"{split}/{color}/{n}.jpg,{unicodedata.normalize(form, name)},{split}" for n in range(2)]
    (data / "table.csv").write_text("\n".join(rows), encoding="utf-8")
    assert train(data / "table.csv", tmp_path / "run").code == 0
    assert resnets.load(tmp_path / "run").classes == ("blau", label)


def test_a_class_of_classes_is_noted(photos: Path, tmp_path: Path) -> None:
    shutil.copytree(photos / "train", tmp_path / "outer" / "photos")
    found = train(tmp_path / "outer", tmp_path / "run")
    assert "has one class only, photos: there is no other class" in found.out
    assert f"If blue, red in it are the classes, give {tmp_path / 'outer' / 'photos'}." in found.out
