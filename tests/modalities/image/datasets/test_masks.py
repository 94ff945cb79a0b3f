"""Datasets of images with masks: classes, values, and what is wrong with a mask."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import resnets
from resnets.core.errors import DataError
from resnets.modalities.catalog import open_dataset
from resnets.modalities.image.datasets.masks import MaskDataset, open_masks
from tests.conftest import noise, truncate
from tests.modalities.image.mask_folders import write_masks, write_pair


def opened(root: Path, split: str = "train", ignore: int | None = 255) -> MaskDataset:
    dataset = open_masks(root).splits[split]  # type: ignore[index]
    assert isinstance(dataset, MaskDataset)
    return dataset.ignoring(ignore)


def save_mask(root: Path, values: list[list[int]], name: str = "trainannot/0.png") -> None:
    Image.fromarray(np.array(values, np.uint8)).save(root / name)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_masks(tmp_path, {"train": 2, "val": 1}, width=4, height=2)


def test_a_dataset_has_what_datasets_have(root: Path) -> None:
    dataset = opened(root)
    assert (dataset.modality, dataset.task, dataset.targets) == ("image", "segmentation", {})
    assert dataset.strata.tolist() == [0, 0]
    assert [list(each.names) for each in dataset.on_disk] == [
        [b"train/0.png", b"train/1.png"],
        [b"trainannot/0.png", b"trainannot/1.png"],
    ]
    assert dataset.key(1) == b"train/1.png"
    assert dataset.name(1) == str(root / "train" / "1.png")
    assert dataset.encoded(1) == (root / "train" / "1.png").read_bytes()
    assert np.array_equal(dataset.target(1)["masks"], np.asarray(Image.open(root / "trainannot" / "1.png")))
    assert np.array_equal(np.asarray(dataset.image(0, "RGB")), noise(4, 2))


def test_values_of_train_are_the_classes_without_the_ignored_one(root: Path) -> None:
    save_mask(root, [[7, 2, 2, 9], [255, 255, 2, 2]])
    save_mask(root, [[2] * 4] * 2, "trainannot/1.png")
    assert opened(root).classes == ("2", "7", "9")
    assert opened(root).mask(0).tolist() == [[1, 0, 0, 2], [255, 255, 0, 0]]
    assert opened(root, ignore=7).classes == ("2", "9", "255")
    assert opened(root, ignore=7).mask(0).tolist() == [[255, 0, 0, 1], [2, 2, 0, 0]]
    assert opened(root, ignore=None).classes == ("2", "7", "9", "255")


def test_lines_name_the_values(root: Path) -> None:
    (root / "classes.txt").write_text("sky\nroad\ntree\nnothing\n", encoding="utf-8-sig")
    assert opened(root).classes == ("sky", "road", "tree", "nothing")
    save_mask(root, [[1, 3, 2, 2], [3, 3, 0, 0]])
    assert opened(root, ignore=3).classes == ("sky", "road", "tree")
    assert opened(root, ignore=0).classes == ("road", "tree", "nothing")
    assert opened(root, ignore=0).mask(0).tolist() == [[0, 2, 1, 1], [2, 2, 255, 255]]


@pytest.mark.parametrize("text", ["", "a\na\n", "a\n\nb\n", "a\n" + "\n".join(map(str, range(256)))])
def test_wrong_lists_of_classes_are_named(root: Path, text: str) -> None:
    (root / "classes.txt").write_text(text)
    with pytest.raises(DataError, match=r"classes\.txt has .*different names of classes, one a line"):
        open_masks(root)


def test_a_value_that_is_no_class_is_named(root: Path) -> None:
    save_mask(root, [[1, 9, 2, 2], [77, 3, 0, 0]], "valannot/0.png")
    with pytest.raises(DataError, match=r"valannot/0\.png has the value 3, 9, 77, which is no class.*0, 1, 2, and 255"):
        opened(root, "val").mask(0)
    (root / "classes.txt").write_text("a\nb\n")
    with pytest.raises(DataError, match=r"trainannot/0\.png has the value 2, which is no class"):
        opened(root).mask(0)


def test_a_mask_of_another_size_is_named(root: Path) -> None:
    save_mask(root, [[0, 1, 2]])
    with pytest.raises(DataError, match=r"trainannot/0\.png has 3 x 1 pixels, and its image .*train/0\.png, .* 4 x 2"):
        opened(root).image(0, "RGB")


def test_a_mask_fits_the_upright_image(root: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(noise(4, 2)).save(root / "train" / "0.png", exif=exif)
    with pytest.raises(DataError, match="upright, 2 x 4"):
        opened(root).image(0, "RGB")
    save_mask(root, [[0, 1], [2, 0], [1, 1], [2, 2]])
    assert opened(root).image(0, "RGB").size == (2, 4)


def test_damaged_masks_do_not_decide_the_classes(root: Path) -> None:
    truncate(root / "trainannot" / "1.png")
    assert opened(root).classes == ("0", "1", "2")
    with pytest.raises(DataError, match=r"trainannot/1\.png"):
        opened(root).mask(1)
    truncate(root / "trainannot" / "0.png")
    with pytest.raises(DataError, match=r"trainannot/0\.png"):
        open_masks(root)


def test_one_class_is_refused_with_a_hint_on_the_void_value(root: Path) -> None:
    for number in (0, 1):
        save_mask(root, [[0, 255, 255, 0]] * 2, f"trainannot/{number}.png")
    with pytest.raises(DataError, match=r"besides 255, which is ignored.* one class, 0.*task\.ignore=none"):
        opened(root)
    assert opened(root, ignore=None).classes == ("0", "255")


def test_a_yaml_file_names_the_values_with_gaps(root: Path) -> None:
    (root / "semantic.yaml").write_text("classes:\n  0: unlabeled\n  1: cat\n  2: dog\n  90: hen\n")
    assert opened(root, ignore=0).classes == ("cat", "dog", "hen")
    save_mask(root, [[0, 1, 90, 90], [2, 2, 0, 0]])
    assert opened(root, ignore=0).mask(0).tolist() == [[255, 0, 2, 2], [1, 1, 255, 255]]
    (root / "classes.txt").write_text("a\nb\nc\n")
    assert opened(root).classes == ("a", "b", "c")


@pytest.mark.parametrize("text", ["classes: [a, b]", "classes: {0: a, 1: a}", "classes: {300: a}", "names: {0: a}"])
def test_a_wrong_yaml_file_is_named(root: Path, text: str) -> None:
    (root / "semantic.yaml").write_text(text)
    with pytest.raises(DataError, match=r"semantic\.yaml: classes takes a name of its own for each value"):
        open_masks(root)


def test_coco40(shared: Path) -> None:
    splits = open_dataset(str(shared / "detection" / "coco40"), "masks")
    assert {split: len(each) for split, each in splits.splits.items()} == {"all": 40}
    dataset = splits.train
    assert isinstance(dataset, MaskDataset)
    classes, names = dataset.ignoring(0).classes, dict(dataset.values)
    assert (classes[:3], classes[-1]) == (("person", "bicycle", "car"), "rug-merged")
    stored, found = np.asarray(Image.open(dataset.mask_path(3))), dataset.ignoring(0).mask(3)
    assert {classes[n] for n in np.unique(found) if n < 255} == {names[value] for value in np.unique(stored) if value}


def test_images_without_splits_are_all(tmp_path: Path) -> None:
    write_pair(tmp_path / "images" / "a.jpg", tmp_path / "masks" / "a.png")
    splits = open_masks(tmp_path)
    assert list(splits.splits) == ["all"]
    assert splits.format == "masks"


def test_camvid(shared: Path) -> None:
    splits = open_masks(shared / "segmentation" / "camvid")
    assert {split: len(each) for split, each in splits.splits.items()} == {"train": 24, "val": 12, "test": 12}
    dataset = opened(shared / "segmentation" / "camvid", ignore=11)
    assert dataset.classes == tuple(map(str, range(11)))
    stored = np.asarray(Image.open(dataset.mask_path(3)))
    assert np.array_equal(dataset.mask(3), np.where(stored == 11, 255, stored))


def test_data_with_nothing_to_learn_from_is_named(tmp_path: Path) -> None:
    root = write_masks(tmp_path, {"test": 2}, width=4, height=2)
    with pytest.raises(DataError, match="The data has test, and no train to learn from: add it"):
        resnets.train("segmentation/small", data=str(root), out=tmp_path / "r")
