"""Images with a class for each pixel, in COCO's format of panoptic segmentation."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import resnets
from resnets.core.errors import DataError, UsageError
from resnets.data.file_table import FileTables
from resnets.data.fingerprint import contents_sha256
from resnets.modalities.base import whole
from resnets.modalities.catalog import open_dataset, summary
from resnets.modalities.image.canvas import Canvas
from resnets.modalities.image.canvas_reader import CanvasReader
from resnets.modalities.image.datasets.panoptic import PanopticDataset
from tests.conftest import noise

CATEGORIES = [{"id": 1, "name": "cat", "isthing": 1}, {"id": 92, "name": "grass", "isthing": 0}]


def write_split(root: Path, split: str, names: list[str], first: int = 1) -> None:
    """Images whose left part is of a cat of its own and whose right part is grass; the first row is of no segment."""
    for folder in (f"annotations/panoptic_{split}", split):
        (root / folder).mkdir(parents=True, exist_ok=True)
    images, rows = [], []
    for number, name in enumerate(names, start=first):
        Image.fromarray(noise(20, 12, seed=number)).save(root / split / f"{name}.jpg")
        ids = np.full((12, 20), 70_000 + number)
        ids[:, 10:] = 300
        ids[0] = 0
        pixels = np.stack([ids % 256, ids // 256 % 256, ids // 65536], -1).astype(np.uint8)
        Image.fromarray(pixels).save(root / f"annotations/panoptic_{split}/{name}.png")
        images.append({"id": number, "file_name": f"{name}.jpg", "height": 12, "width": 20})
        segments = [{"id": 70_000 + number, "category_id": 1, "iscrowd": 0}, {"id": 300, "category_id": 92}]
        rows.append({"image_id": number, "file_name": f"{name}.png", "segments_info": segments})
    file = root / f"annotations/panoptic_{split}.json"
    file.write_text(json.dumps({"images": images, "annotations": rows, "categories": CATEGORIES}))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_split(tmp_path, "train", ["a", "b"])
    write_split(tmp_path, "val", ["c"], 3)
    return tmp_path


def test_segments_are_classes_and_what_has_none_is_void(root: Path) -> None:
    splits = open_dataset(str(root))
    assert summary("farm", splits) == "data  farm: images with masks (COCO panoptic), 2 classes, train 2, val 1"
    dataset, index = whole(splits.train, 1)
    assert isinstance(dataset, PanopticDataset)
    assert (dataset.task, dataset.classes, dataset.category_ids) == ("segmentation", ("cat", "grass"), (1, 92))
    expected = np.zeros((12, 20), np.uint8)
    expected[:, 10:] = 1
    expected[0] = 255
    assert np.array_equal(dataset.target(index)["masks"], expected)
    assert dataset.image(index, "RGB").size == (20, 12)
    reader = CanvasReader(Canvas(crop=(12, 20)))
    assert reader.sample(splits.train, 1, np.full(3, 1 / 3, np.float32), None)["masks"].shape == (12, 20)
    assert reader.examine(dataset, index, False) == (None, 0)


def test_boxes_go_before_where_both_are_there(root: Path) -> None:
    images = json.loads((root / "annotations" / "panoptic_train.json").read_text())["images"]
    boxes = [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]}]
    data = {"images": images, "annotations": boxes, "categories": CATEGORIES}
    (root / "annotations" / "instances_train.json").write_text(json.dumps(data))
    assert open_dataset(str(root)).train.task == "detection"
    assert open_dataset(str(root / "annotations" / "panoptic_train.json")).train.task == "segmentation"


def segment(data: Any) -> Any:
    return data["annotations"][0]["segments_info"][0]


def change(file: Path, how: Callable[[Any], object]) -> None:
    data = json.loads(file.read_text())
    how(data)
    file.write_text(json.dumps(data))


@pytest.mark.parametrize(
    ("plant", "said"),
    [
        (lambda d: d["annotations"][0].pop("file_name"), r"annotations\[0\] needs image_id, the file_name of a PNG"),
        (lambda d: d["annotations"][0].update(file_name="../a.png"), r"annotations\[0\] needs image_id"),
        (lambda d: segment(d).update(category_id=5), r"annotations\[0\] has a segment with a wrong or repeated id, or"),
        (lambda d: segment(d).update(category_id=[5]), r"annotations\[0\] has a segment with a wrong or repeated id"),
        (lambda d: segment(d).update(id=300), r"annotations\[0\] has a segment with a wrong or repeated id, or of no"),
        (lambda d: d["annotations"].pop(), "the image 2 has no annotation"),
    ],
)  # fmt: skip
def test_a_wrong_entry_is_named(root: Path, plant: Callable[[Any], object], said: str) -> None:
    change(root / "annotations" / "panoptic_train.json", plant)
    with pytest.raises(DataError, match=rf"panoptic_train\.json.*{said}"):
        open_dataset(str(root))


def test_a_mask_that_does_not_fit_is_named(root: Path) -> None:
    dataset = open_dataset(str(root)).train
    own, _ = whole(dataset, 0)
    mask = own.mask_path(0)
    pixels = np.asarray(Image.open(mask)).copy()
    pixels[5, 5] = 9
    Image.fromarray(pixels).save(mask)
    with pytest.raises(
        DataError, match=r"panoptic_train/a\.png has the segment 592137, which the JSON file does not list"
    ):
        dataset.target(0)
    Image.fromarray(pixels[..., 0]).save(mask)
    with pytest.raises(DataError, match=r"a\.png is of mode L: ids of segments are red, green and blue"):
        dataset.target(0)
    Image.fromarray(pixels[:5]).save(mask)
    with pytest.raises(DataError, match=r"a\.png has 20 x 5 pixels, and its image .*a\.jpg, upright, 20 x 12"):
        own.image(0, "RGB")


def test_a_change_of_a_class_changes_the_fingerprint(root: Path) -> None:
    def sha256() -> str:
        return contents_sha256(open_dataset(str(root)).train, FileTables())

    before = sha256()
    assert sha256() == before
    change(root / "annotations" / "panoptic_train.json", lambda d: segment(d).update(category_id=92))
    assert sha256() != before


def test_a_file_that_is_not_called_so_is_refused(root: Path) -> None:
    other = root / "annotations" / "panoptic_train.json"
    other.rename(root / "annotations" / "instances_train.json")
    with pytest.raises(DataError, match=r"instances_train\.json is of panoptic segmentation: call it so"):
        open_dataset(str(root))


def test_coco40_is_its_semantic_masks(shared: Path) -> None:
    folder = shared / "detection" / "coco40"
    dataset = open_dataset(str(folder / "panoptic.json")).train
    assert isinstance(dataset, PanopticDataset)
    assert (len(dataset), len(dataset.classes)) == (40, 133)
    ids = np.append(np.array(dataset.category_ids), np.zeros(256 - 133, np.int64))
    for index in range(0, 40, 5):
        semantic = np.asarray(Image.open(folder / "semantic" / f"{dataset.path(index).stem}.png"))
        assert np.array_equal(ids[dataset.mask(index)], semantic)


def test_the_check_reads_the_images(root: Path) -> None:
    (root / "train" / "a.jpg").write_bytes(b"")
    result = resnets.check(root)
    assert {(problem.kind, Path(problem.path).name) for problem in result.problems} >= {("empty_file", "a.jpg")}
    assert dict(result.samples) == {"train": 2, "val": 1}


def test_the_check_reads_the_masks(root: Path) -> None:
    masks = root / "annotations" / "panoptic_train"
    first, second = sorted(masks.iterdir())[:2]
    assert not resnets.check(root).errors
    Image.open(first).resize((3, 2), Image.Resampling.NEAREST).save(first)
    second.unlink()
    found = {(problem.kind, Path(problem.path).name) for problem in resnets.check(root).problems}
    assert found >= {("mask_size", first.name), ("missing_annotation", second.name)}
    Image.new("RGB", (8, 8), (9, 9, 9)).save(second)
    assert ("mask_value", second.name) in {(p.kind, Path(p.path).name) for p in resnets.check(root).problems}


def test_a_value_of_masks_to_ignore_is_refused(tmp_path: Path) -> None:
    write_split(tmp_path / "data", "train", ["a", "b"])
    write_split(tmp_path / "data", "val", ["c"], first=3)
    with pytest.raises(UsageError, match=r"task\.ignore=11 is for folders of masks"):
        resnets.train("segmentation/small", "task.ignore=11", data=str(tmp_path / "data"), out=tmp_path / "r")
