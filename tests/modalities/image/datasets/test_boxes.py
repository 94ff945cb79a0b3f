"""Datasets of images with boxes, whatever format they are stored in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from resnets.core.errors import DataError
from resnets.data.file_table import FileTables
from resnets.data.fingerprint import contents_sha256
from resnets.data.splits import with_watched_split
from resnets.modalities.base import Subset, whole
from resnets.modalities.catalog import open_dataset, summary
from resnets.modalities.image.datasets.boxes import BoxDataset
from tests.command_line import call
from tests.conftest import noise
from tests.modalities.image.box_files import FORMATS, SCENES, Format, Scene, Thing, scenes_of, write


@pytest.fixture(params=FORMATS)
def format(request: pytest.FixtureRequest) -> Format:
    return request.param  # type: ignore[no-any-return]


BOX = (4.0, 6.0, 30.0, 38.0)


def targets(root: Path, split: str = "train", format: str | None = None) -> list[dict[str, Any]]:
    dataset = open_dataset(str(root), format).splits[split]  # type: ignore[index]
    return [dataset.target(index) for index in range(len(dataset))]


def scene(*things: Thing, name: str = "a") -> dict[str, list[Scene]]:
    return {"train": [Scene(name, things)], "val": [Scene("v", [Thing("cat", (1, 1, 9, 9))])]}


def test_the_format_is_found_and_said_in_a_line(tmp_path: Path, format: Format) -> None:
    root = write(tmp_path / "farm", format)
    splits = open_dataset(str(root))
    assert summary("farm", splits) == (f"data  farm: images with boxes ({format.upper()}), 3 classes, train 3, val 1")
    assert open_dataset(str(root), format).format == splits.format == format


def test_what_a_dataset_has(tmp_path: Path, format: Format) -> None:
    splits = open_dataset(str(write(tmp_path, format)))
    dataset, number = whole(splits.splits["train"], 0)
    assert isinstance(dataset, BoxDataset)
    assert (dataset.modality, dataset.task, dict(dataset.targets)) == ("image", "detection", {})
    assert dataset.classes == ("cat", "dog", "hen")
    assert dataset.category_ids == {"voc": (1, 2, 3), "coco": (3, 7, 8), "yolo": (0, 1, 2)}[format]
    assert Path(dataset.name(number)).name == "a.jpg"
    assert dataset.encoded(number) == dataset.path(number).read_bytes()
    assert dataset.size(number) == (40, 60)
    assert dataset.image(number, "RGB").size == (60, 40)
    assert not dataset.has_masks
    assert dataset.strata.tolist() == [0] * 4
    target = dataset.target(number)
    assert {name: (values.shape, values.dtype.name) for name, values in target.items()} == {
        "boxes": ((2, 4), "float64"), "labels": ((2,), "int64"), "crowds": ((2,), "bool"),
        "difficult": ((2,), "bool"), "areas": ((2,), "float64"), "image_ids": ((), "int64"),
    }  # fmt: skip
    assert target["boxes"] == pytest.approx(np.array([[4, 6, 30, 38], [10.5, 0, 60, 20.25]]), abs=1e-6)
    assert target["labels"].tolist() == [1, 0]
    assert target["areas"] == pytest.approx([26 * 32, 49.5 * 20.25], abs=1e-4)


def test_splits_and_images_without_objects(tmp_path: Path, format: Format) -> None:
    root = write(tmp_path, format)
    assert [len(each["boxes"]) for each in targets(root)] == [2, 2, 0]
    assert [each["labels"].tolist() for each in targets(root, "val")] == [[0]]


def test_without_splits_all_images_are_one_and_a_part_is_held_out_by_name(tmp_path: Path, format: Format) -> None:
    scenes = [Scene(f"{number:02}", [Thing("cat", (1, 2, 30, 20))]) for number in range(30)]
    splits = open_dataset(str(write(tmp_path, format, {"all": scenes})))
    assert list(splits.splits) == ["all"]
    held_out = with_watched_split(splits, "farm").splits
    val = {held_out["val"].key(index) for index in range(len(held_out["val"]))}
    assert len(held_out["train"]) + len(val) == 30
    assert 0 < len(val) < 15
    more = write(tmp_path / "more", format, {"all": [*scenes, Scene("new", [Thing("cat", (1, 2, 30, 20))])]})
    after = with_watched_split(open_dataset(str(more)), "farm").splits["val"]
    assert val <= {after.key(index) for index in range(len(after))}


def test_boxes_without_an_area_and_outside_are_left_out_counted_and_named(tmp_path: Path, format: Format) -> None:
    things = [
        Thing("cat", (5, 5, 5, 9)), Thing("cat", (1, 2, 30, 20)), Thing("dog", (61, 2, 70, 9)),
        Thing("hen", (9, 8, 4, 12)), Thing("dog", (-9, 2, -1, 9)), Thing("dog", (1, 2, 3, 4)),
    ]  # fmt: skip
    root = write(tmp_path, format, scene(*things))
    (target,) = targets(root)
    assert target["boxes"] == pytest.approx(np.array([[1, 2, 30, 20], [1, 2, 3, 4]]), abs=1e-6)
    assert target["labels"].tolist() == [0, 1]
    empty, outside, *_ = open_dataset(str(root)).notes
    source = {"voc": "a.xml, object", "coco": "instances_train.json, annotation", "yolo": "a.txt, line"}[format]
    first = 1000 if format == "coco" else 1
    assert empty.startswith("Boxes without an area are left out (2): ")
    assert f"{source} {first} (" in empty
    assert f"{source} {first + 3} (" in empty
    assert outside.startswith("Boxes outside of their images are left out (2): ")
    assert f"{source} {first + 2} (" in outside


def test_boxes_that_reach_out_are_cut_and_counted(tmp_path: Path, format: Format) -> None:
    root = write(tmp_path, format, scene(Thing("cat", (-5, 2, 30, 45)), Thing("dog", (0, 0, 60, 40))))
    (target,) = targets(root)
    assert target["boxes"] == pytest.approx(np.array([[0, 2, 30, 40], [0, 0, 60, 40]]), abs=1e-6)
    (note,) = (note for note in open_dataset(str(root)).notes if "reach out" in note)
    assert "(1), such as" in note


def test_five_hundred_boxes_and_one_of_a_pixel(tmp_path: Path, format: Format) -> None:
    things = [Thing("cat", (i % 59, i // 59, i % 59 + 1, i // 59 + 1)) for i in range(500)]
    (target,) = targets(write(tmp_path, format, scene(*things)))
    assert target["boxes"] == pytest.approx(np.array([thing.box for thing in things]), abs=1e-6)


def test_background_is_no_class(tmp_path: Path) -> None:
    classes = {0: "background", 1: "cat", 2: "dog"}
    root = write(tmp_path / "none", "coco", scene(Thing("dog", (1, 2, 30, 20))), classes)
    splits = open_dataset(str(root))
    assert splits.train.classes == ("cat", "dog")
    assert whole(splits.train, 0)[0].category_ids == (1, 2)
    assert targets(root)[0]["labels"].tolist() == [1]
    assert any("The class background has no boxes" in note for note in splits.notes)
    with pytest.raises(DataError, match=r"annotation 1000 \(1, 2, 30, 20\) is of the class background"):
        open_dataset(str(write(tmp_path / "one", "coco", scene(Thing("background", (1, 2, 30, 20))), classes)))


def test_without_any_box_to_learn_from_it_is_refused(tmp_path: Path, format: Format) -> None:
    with pytest.raises(DataError, match="has no box to learn from in its train images"):
        open_dataset(str(write(tmp_path, format, {"train": [Scene("a")]})), format)


@pytest.mark.parametrize("format", ["voc", "coco"])
def test_an_image_of_another_size_is_named(tmp_path: Path, format: Format) -> None:
    root = write(tmp_path, format)
    dataset = open_dataset(str(root)).train
    path = Path(dataset.name(0))
    Image.fromarray(noise(50, 40)).save(path)
    with pytest.raises(DataError, match=r"says that .*a\.jpg has 60 x 40 pixels, and upright it has 50 x 40: "):
        dataset.target(0)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(noise(60, 40)).save(path, exif=exif)
    for read in (lambda: dataset.target(0), lambda: dataset.image(0, "RGB")):  # type: ignore[attr-defined]
        with pytest.raises(DataError, match="upright it has 40 x 60, and images are turned as their metadata says"):
            read()


@pytest.mark.parametrize("format", ["voc", "coco"])
def test_a_size_that_is_not_said_is_read_from_the_image(tmp_path: Path, format: Format) -> None:
    root = write(
        tmp_path, format, scene(Thing("cat", (50, 30, 70, 60)), Thing("dog", (61, 0, 70, 9)), Thing("dog", BOX))
    )
    if format == "voc":
        path = root / "Annotations" / "a.xml"
        path.write_text(path.read_text().replace("<width>60</width>", ""))
    else:
        path = root / "annotations" / "instances_train.json"
        path.write_text(path.read_text().replace('"height": 40, "width": 60', '"height": 0'))
    assert targets(root)[0]["boxes"].tolist() == [[50, 30, 60, 40], list(BOX)]


def test_images_behind_links_are_read(tmp_path: Path, format: Format) -> None:
    root = write(tmp_path / "farm", format)
    folder = next(path for path in (root / "JPEGImages", root / "train", root / "images") if path.is_dir())
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    assert targets(root)[0]["labels"].tolist() == [1, 0]


def test_a_change_of_a_box_changes_the_fingerprint(tmp_path: Path, format: Format) -> None:
    one = open_dataset(str(write(tmp_path / "1", format))).train
    same = open_dataset(str(write(tmp_path / "2", format))).train
    moved = dict(SCENES)
    moved["train"] = [
        Scene("a", [Thing("dog", (4, 6, 30, 38)), Thing("cat", (10.5, 0, 60, 21.25))]),
        *moved["train"][1:],
    ]
    other = open_dataset(str(write(tmp_path / "3", format, moved))).train
    assert [one.fingerprint(i) == same.fingerprint(i) for i in range(3)] == [True] * 3
    assert [one.fingerprint(i) == other.fingerprint(i) for i in range(3)] == [False, True, True]
    hashes = [contents_sha256(each, FileTables()) for each in (one, same, other)]
    assert (hashes[0] == hashes[1], hashes[0] == hashes[2]) == (True, False)


def test_coco40_has_the_same_boxes_in_every_format(shared: Path, tmp_path: Path, format: Format) -> None:
    data = str(shared / "detection" / "coco40")
    original = open_dataset(data, "coco")
    train = original.train
    assert isinstance(train, BoxDataset)
    classes = dict(zip(train.category_ids, train.classes, strict=True))
    root = write(tmp_path, format, scenes_of(original, crowds=False), classes)
    found = open_dataset(str(root))
    assert found.format == format
    by_name = {Path(found.train.name(index)).name: found.train.target(index) for index in range(len(found.train))}
    assert len(by_name) == 40
    boxes = 0
    for index in range(40):
        target = train.target(index)
        kept = ~target["crowds"]
        converted = by_name[Path(train.name(index)).name]
        assert converted["boxes"] == pytest.approx(target["boxes"][kept], abs=1e-5)
        names = [train.classes[label] for label in target["labels"][kept]]
        assert [found.train.classes[label] for label in converted["labels"]] == names
        boxes += len(names)
    assert boxes == 316


@pytest.mark.parametrize("recipe", ["photos", "paper/cifar", "segmentation/small"])
def test_a_recipe_for_another_task_is_refused(tmp_path: Path, recipe: str) -> None:
    result = call("train", recipe, "--data", write(tmp_path, "voc"), "--out", tmp_path / "run")
    assert result.code != 0
    assert result.out == ""
    assert "detection" in result.err
    assert "choose a recipe" in result.err
    assert not (tmp_path / "run" / "recipe.json").exists()


def test_coco40_may_be_several_formats_and_is_refused(shared: Path) -> None:
    with pytest.raises(DataError, match="may be masks or coco or yolo: give --format masks or --format coco or"):
        open_dataset(str(shared / "detection" / "coco40"))


def test_coco40_has_two_numberings_of_the_same_classes(shared: Path) -> None:
    data = str(shared / "detection" / "coco40")
    coco, yolo = open_dataset(data, "coco").train, open_dataset(data, "yolo").train
    assert isinstance(coco, BoxDataset)
    assert isinstance(yolo, BoxDataset)
    assert coco.classes == yolo.classes
    assert coco.category_ids[-1] == 90
    assert yolo.category_ids == tuple(range(80))
    by_name = {Path(yolo.name(index)).name: yolo.target(index) for index in range(40)}
    same = 0
    for index in range(40):
        target = coco.target(index)
        labels = by_name[Path(coco.name(index)).name]["labels"]
        same += sorted(labels) == sorted(target["labels"][~target["crowds"]])
    assert same == 39  # one image has a car more in the YOLO labels


def test_bccd(shared: Path) -> None:
    splits = open_dataset(str(shared / "detection" / "bccd"))
    assert {split: len(each) for split, each in splits.splits.items()} == {"train": 205, "val": 87, "test": 72}
    dataset = whole(splits.train, 0)[0]
    assert dataset.classes == ("Platelets", "RBC", "WBC")
    assert np.bincount(dataset.annotations.labels).tolist() == [361, 4153, 372]
    (note,) = (note for note in splits.notes if "without an area" in note)
    assert "BloodImage_00338.xml, object 13 (504, 337, 504, 337)" in note
    assert "BloodImage_00343.xml, object 4" in note
    assert isinstance(splits.train, Subset)
    assert splits.train.key(0) == b"JPEGImages/BloodImage_00001.jpg"
