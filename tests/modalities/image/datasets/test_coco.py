"""Images with boxes and masks as COCO has them: layouts, ids, and what is wrong with an entry."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from resnets.core.errors import DataError
from resnets.modalities.catalog import find_format, open_dataset
from resnets.modalities.faults import Faults
from resnets.modalities.image.datasets.coco import list_coco
from tests.conftest import truncate, write_tree
from tests.modalities.image.box_files import CLASSES, SCENES, Scene, Thing, coco_json, write

TRAIN = "annotations/instances_train.json"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write(tmp_path, "coco")


def change(file: Path, how: Callable[[Any], object]) -> None:
    data = json.loads(file.read_text())
    how(data)
    file.write_text(json.dumps(data))


def put(root: Path, json_file: str, image: str) -> Path:
    """Writes one image and its JSON at these places."""
    scene = Scene(Path(image).stem, [Thing("dog", (1, 2, 30, 20))])
    scene.write(root / image)
    (root / json_file).parent.mkdir(parents=True, exist_ok=True)
    (root / json_file).write_text(json.dumps(coco_json([scene], CLASSES)))
    return root


@pytest.mark.parametrize(
    ("file", "image", "split"),
    [
        ("annotations/instances_train2017.json", "train2017/1.jpg", "train"),
        ("annotations/instances_train2017.json", "images/train2017/1.jpg", "train"),
        ("annotations/instances_train.json", "images/1.jpg", "train"),
        ("annotations/instances_default.json", "images/1.jpg", "all"),
        ("annotations/train.json", "train/1.jpg", "train"),
        ("train/_annotations.coco.json", "train/1.jpg", "train"),
        ("instances.json", "images/1.jpg", "all"),
        ("labels.json", "1.jpg", "all"),
        ("labels.json", "data/1.jpg", "all"),
    ],
)
def test_layouts(tmp_path: Path, file: str, image: str, split: str) -> None:
    put(tmp_path, file, image)
    found = open_dataset(str(tmp_path))
    assert (found.format, {name: len(each) for name, each in found.splits.items()}) == ("coco", {split: 1})
    assert found.train.key(0) == image.encode()


def test_the_splits_of_an_export(tmp_path: Path) -> None:
    for split in ("train", "valid", "test"):
        put(tmp_path, f"{split}/_annotations.coco.json", f"{split}/{split}.jpg")
    assert {name: len(each) for name, each in open_dataset(str(tmp_path)).splits.items()} == {
        "train": 1, "val": 1, "test": 1,
    }  # fmt: skip


def test_one_file_can_be_given(root: Path) -> None:
    found = open_dataset(str(write(root / "plain", "coco", {"all": SCENES["train"]}) / "instances.json"))
    assert (found.format, list(found.splits), len(found.train)) == ("coco", ["all"], 3)
    of_split = open_dataset(str(root / TRAIN))
    assert (list(of_split.splits), of_split.train.key(0)) == (["all"], b"train/a.jpg")


def test_other_annotations_of_coco_are_passed_over(root: Path) -> None:
    for name in ("captions_train2017.json", "person_keypoints_train2017.json", "panoptic_train2017.json"):
        (root / "annotations" / name).write_text('{"annotations": [], "images": []}')
    assert list(open_dataset(str(root)).splits) == ["train", "val"]


@pytest.mark.parametrize(
    ("plant", "said"),
    [
        (
            lambda root: (root / TRAIN).rename(root / "annotations/instances_test.json"),
            "of test, val, and none of train",
        ),
        (
            lambda root: (root / "annotations/instances_train2014.json").write_text((root / TRAIN).read_text()),
            r"instances_train\.json and .*instances_train2014\.json are both annotations of the split train",
        ),
        (
            lambda root: (root / "annotations/instances_more.json").write_text((root / TRAIN).read_text()),
            r"instances_more\.json is of no split, and other files are",
        ),
    ],
)
def test_files_that_do_not_go_together_are_named(root: Path, plant: Callable[[Path], object], said: str) -> None:
    plant(root)
    with pytest.raises(DataError, match=said):
        open_dataset(str(root), "coco")


def test_two_files_in_the_folder_are_named(tmp_path: Path) -> None:
    put(put(tmp_path, "a.json", "1.jpg"), "b.json", "2.jpg")
    with pytest.raises(DataError, match=r"holds a\.json and b\.json: give the file that is meant, such as .*a\.json"):
        open_dataset(str(tmp_path))
    assert len(open_dataset(str(tmp_path / "b.json")).train) == 1


def test_no_annotations_and_others_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no annotations of boxes in COCO's format: expected are annotations/"):
        open_dataset(str(write_tree(tmp_path, {"cat": 1, "dog": 1})), "coco")
    (tmp_path / "config.json").write_text('{"name": "x"}')
    assert find_format(tmp_path) == "folders"
    with pytest.raises(DataError, match=r"config\.json is not a table that is read"):
        open_dataset(str(tmp_path / "config.json"))


def test_paths_of_another_machine_will_do(root: Path) -> None:
    def rename(data: Any) -> None:
        for image in data["images"]:
            image["file_name"] = f"/content/farm/{image['file_name']}"

    change(root / TRAIN, rename)
    assert open_dataset(str(root)).train.key(0) == b"train/a.jpg"


def test_crowds_areas_and_ids(root: Path) -> None:
    def plant(data: Any) -> None:
        data["images"][0]["id"] = 4711
        for row in data["annotations"][:2]:
            row["image_id"] = 4711
        data["annotations"][0] |= {"iscrowd": 1, "area": 12.5}
        del data["annotations"][1]["area"]

    change(root / TRAIN, plant)
    target = open_dataset(str(root)).train.target(0)
    assert target["crowds"].tolist() == [True, False]
    assert target["areas"].tolist() == [12.5, 49.5 * 20.25]
    assert target["image_ids"] == 4711


def row(**changes: Any) -> Callable[[Any], object]:
    return lambda data: data["annotations"][1].update(changes)


def image(**changes: Any) -> Callable[[Any], object]:
    return lambda data: data["images"][2].update(changes)


PLANTS: list[tuple[str, Callable[[Any], object], str]] = [
    ("bad_row", image(id=1), r"images\[2\] \(id 1\) has the id 1, which is"),
    ("bad_row", lambda d: d["images"][1].update(id="x"), r"images\[1\] has the id 'x'"),
    ("bad_row", lambda d: d["images"].append("x"), r"images\[3\] is 'x', and no object"),
    ("bad_row", image(file_name="\ud800.jpg"), "which is no file in"),
    ("bad_row", image(file_name="a\0.jpg"), "which is no file in"),
    ("bad_row", image(file_name="/etc/passwd"), "which is no file in"),
    ("bad_row", image(file_name="../x.jpg"), r"images\[2\] .*'\.\./x\.jpg', which is no file in"),
    ("bad_row", image(file_name="a.jpg"), r"a\.jpg is another image's file too"),
    ("bad_row", row(bbox=[1, 2, 3]), r"annotations\[1\] \(id 1001\) has the bbox \[1, 2, 3\]"),
    ("bad_row", row(bbox=[1, 2, 3, None]), "has the bbox"),
    ("bad_row", row(bbox=[1, 2, 3, float("nan")]), "has the bbox"),
    ("bad_row", lambda d: d["annotations"][1].pop("bbox"), "has the bbox None, which is not four numbers"),
    ("bad_row", row(iscrowd=2), "has iscrowd 2, which is 0 or 1"),
    ("bad_row", row(id=1000), r"annotations\[1\] \(id 1000\) has the id 1000"),
    ("bad_row", row(image_id="1"), "has no image_id that is a whole number, but '1'"),
    ("orphan_annotation", row(image_id=99), "is of the image 99, which is not listed"),
    ("unknown_class", row(category_id=4), "has the category_id 4, which is no category"),
    ("unknown_class", row(category_id=True), "category_id True, which is no category"),
    ("bad_row", lambda d: d["categories"].append({"id": 3, "name": "cow"}), "the id 3 or the name cow is that of"),
    ("bad_row", lambda d: d["categories"].append({"id": 9, "name": "cat"}), "the id 9 or the name cat is that of"),
    ("bad_row", lambda d: d["categories"].append({"id": 9}), "needs an id, a whole number, and a name"),
    ("mask_value", row(segmentation=[[1, 2, 3]]), "has a polygon of 3 numbers"),
    ("mask_value", row(segmentation=[[1, 2, 3, 4, 5, 1e300]]), "far outside of the image"),
    ("mask_value", row(segmentation=[[1, 2, 3, 4, 5, "x"]]), "that is no number"),
    ("mask_value", row(segmentation={"size": [40, 60], "counts": [9]}), "of 9 pixels for"),
    ("mask_size", row(segmentation={"size": [60, 40], "counts": [2400]}), "has a mask of 40 x"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "plant", "said"), PLANTS)
def test_a_wrong_entry_is_named_and_the_rest_is_listed(
    root: Path, kind: str, plant: Callable[[Any], object], said: str
) -> None:
    change(root / TRAIN, plant)
    with pytest.raises(DataError, match=rf"instances_train\.json, .*{said}"):
        open_dataset(str(root))
    faults: Faults = []
    listed = list_coco(root, faults)
    assert (faults[0].kind, faults[0].path) == (kind, str(root / TRAIN))
    assert listed.classes == ("cat", "dog", "hen")
    assert len(listed.annotations) >= 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", r"line 1, column 1 is no JSON: Expecting value\. It may be truncated"),
        ('{"images": [],\n"annotations": [1,, 2]}', r"line 2, column 19 is no JSON: "),
        ("[1]", "is a JSON list: annotations in COCO's format are an object"),
        ("{}", 'has no list "images"'),
        ('{"images": [], "categories": []}', "has no categories, which are its classes"),
        ('{"images": [], "categories": [{"id": 1, "name": "x"}], "annotations": 1}', 'has no list "annotations"'),
        ("[" * 100_000, "is no JSON"),
        ('{"images": ' + "9" * 5000 + "}", "is no JSON"),
    ],
)
def test_damaged_and_hostile_json_is_named(root: Path, text: str, said: str) -> None:
    (root / TRAIN).write_text(text)
    with pytest.raises(DataError, match=rf"instances_train\.json.*{said}"):
        open_dataset(str(root), "coco")


def test_a_truncated_file_is_named(root: Path) -> None:
    truncate(root / TRAIN)
    with pytest.raises(DataError, match=r"instances_train\.json, line 1, column \d+ is no JSON"):
        open_dataset(str(root))


def test_categories_of_another_split_are_those_of_train(root: Path) -> None:
    val = root / "annotations" / "instances_val.json"
    change(val, lambda data: data["categories"].pop())
    assert open_dataset(str(root)).train.classes == ("cat", "dog", "hen")
    change(val, lambda data: data["categories"][0].update(name="cow"))
    with pytest.raises(DataError, match=r"val\.json, categories\[0\] .* the category 3 is cow, and train calls cat it"):
        open_dataset(str(root))
    change(val, lambda data: data["categories"][0].update(name="cow", id=4))
    with pytest.raises(DataError, match="the category 4 is cow, and train does not have it"):
        open_dataset(str(root))


def test_images_that_are_not_there_are_named(root: Path) -> None:
    (root / "train" / "b.jpg").unlink()
    with pytest.raises(DataError, match=r"1 of 4 images that are listed are not there, such as .*train/b\.jpg"):
        open_dataset(str(root))
    for path in (root / "train").iterdir():
        path.unlink()
    with pytest.raises(DataError, match=r"instances_train\.json: there is no image a\.jpg in any of .*train"):
        open_dataset(str(root))


def test_images_that_nothing_lists_are_left_out_and_named(root: Path) -> None:
    Scene("spare").write(root / "train" / "spare.jpg")
    (note,) = open_dataset(str(root)).notes
    assert note == f"{root / 'train'}: images that no annotation lists were left out (1): spare.jpg."
    faults: Faults = []
    list_coco(root, faults)
    assert [(each.kind, each.path) for each in faults] == [("missing_annotation", str(root / "train" / "spare.jpg"))]
