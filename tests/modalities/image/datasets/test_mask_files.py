"""Which image belongs to which mask."""

from __future__ import annotations

from pathlib import Path

import pytest

from resnets.core.errors import DataError
from resnets.modalities.image.datasets.mask_files import find_pairs, looks_like_masks
from tests.conftest import write_tree
from tests.modalities.image.mask_folders import write_masks, write_pair


@pytest.mark.parametrize(
    ("image", "mask", "split"),
    [
        ("train/a.png", "trainannot/a.png", "train"),
        ("train/a.jpg", "train_masks/a.png", "train"),
        ("train/day/a.jpg", "train_labels/day/a.png", "train"),
        ("valid/a.jpg", "validannot/a.png", "val"),
        ("images/a.jpg", "masks/a.png", "all"),
        ("images/a.jpg", "masks/a_mask.png", "all"),
        ("images/a.jpg", "masks/a_gt.png", "all"),
        ("images/training/a.jpg", "annotations/training/a.png", "train"),
        ("test/images/a.jpg", "test/masks/a.png", "test"),
    ],
)
def test_folders_of_one_name_are_paired(tmp_path: Path, image: str, mask: str, split: str) -> None:
    write_pair(tmp_path / image, tmp_path / mask)
    assert find_pairs(tmp_path) == ({split: [(image.encode(), mask.encode())]}, [])
    assert looks_like_masks(tmp_path)


def test_all_splits_are_found(tmp_path: Path) -> None:
    write_masks(tmp_path, {"train": 2, "val": 1, "test": 1})
    assert {split: len(found) for split, found in find_pairs(tmp_path)[0].items()} == {"train": 2, "val": 1, "test": 1}


def test_a_folder_of_classes_has_no_masks(tmp_path: Path) -> None:
    assert not looks_like_masks(write_tree(tmp_path, {"train/cat": 1, "train/dog": 1, "val/cat": 1}))
    assert not looks_like_masks(tmp_path / "nowhere")
    (tmp_path / "train.txt").write_bytes("1 ein schöner Satz\n".encode("latin-1"))
    assert not looks_like_masks(tmp_path)


@pytest.mark.parametrize("between", [" ", "\t", ","])
@pytest.mark.parametrize("prefix", ["", "./", "/SegNet/CamVid/", "data\\CamVid\\"])
def test_paths_of_another_machine_will_do(tmp_path: Path, prefix: str, between: str) -> None:
    write_masks(tmp_path, {"train": 2})
    (tmp_path / "train.txt").write_text(f"\n{prefix}train/0.png{between}{prefix}trainannot/0.png\n\n")
    assert find_pairs(tmp_path) == ({"train": [(b"train/0.png", b"trainannot/0.png")]}, [])
    assert looks_like_masks(tmp_path)


def test_own_absolute_paths_will_do(tmp_path: Path) -> None:
    write_masks(tmp_path, {"train": 1})
    (tmp_path / "train.txt").write_text(f"{tmp_path}/train/0.png {tmp_path}/trainannot/0.png\n")
    assert find_pairs(tmp_path)[0] == {"train": [(b"train/0.png", b"trainannot/0.png")]}


def test_one_prefix_holds_for_all_lines(tmp_path: Path) -> None:
    write_masks(tmp_path, {"train": 2})
    (tmp_path / "train.txt").write_text("/a/train/0.png /a/trainannot/0.png\n/b/train/1.png /b/trainannot/1.png\n")
    with pytest.raises(DataError, match=r"train\.txt, line 2: there is no file /b/train/1\.png"):
        find_pairs(tmp_path)


def test_a_list_of_other_things_is_no_list_of_pairs(tmp_path: Path) -> None:
    write_masks(tmp_path, {"train": 1})
    (tmp_path / "train.txt").write_text("0\n1\n")
    assert find_pairs(tmp_path)[0] == {"train": [(b"train/0.png", b"trainannot/0.png")]}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("../other/0.png trainannot/0.png", r"train\.txt, line 2: \.\./other/0\.png is outside of"),
        ("train/../../0.png trainannot/0.png", "is outside of"),
        ("/etc/passwd.png trainannot/0.png", r"there is no file /etc/passwd\.png"),
        ("train/9.png trainannot/0.png", r"there is no file train/9\.png"),
        ("train/0.png", r"line 2: expected an image and its mask"),
    ],
)
def test_wrong_lines_are_named(tmp_path: Path, line: str, said: str) -> None:
    root = write_masks(tmp_path / "data", {"train": 1})
    write_pair(tmp_path / "other" / "0.png", tmp_path / "0.png")
    (root / "train.txt").write_text(f"train/0.png trainannot/0.png\n{line}\n")
    with pytest.raises(DataError, match=said):
        find_pairs(root)


@pytest.mark.parametrize("split", ["train", "val"])
def test_an_image_that_is_listed_twice_is_named(tmp_path: Path, split: str) -> None:
    write_masks(tmp_path, {"train": 2})
    (tmp_path / "train.txt").write_text("train/0.png trainannot/0.png\ntrain/1.png trainannot/1.png\n")
    with (tmp_path / f"{split}.txt").open("a") as file:
        file.write("./train/1.png trainannot/1.png\n")
    line = 3 if split == "train" else 1
    with pytest.raises(DataError, match=rf"{split}\.txt, line {line} repeats train/1\.png of .*train\.txt, line 2"):
        find_pairs(tmp_path)


def test_an_image_without_mask_is_named(tmp_path: Path) -> None:
    write_masks(tmp_path, {"train": 2})
    (tmp_path / "trainannot" / "1.png").unlink()
    with pytest.raises(DataError, match=r"train/1\.png has no mask: .*trainannot/1\.png is expected, or 1_mask\.png"):
        find_pairs(tmp_path)


def test_a_mask_without_image_is_named(tmp_path: Path) -> None:
    write_masks(tmp_path, {"train": 2})
    (tmp_path / "train" / "1.png").unlink()
    with pytest.raises(DataError, match=r"trainannot/1\.png is a mask without an image in .*train"):
        find_pairs(tmp_path)


def test_two_images_for_one_mask_are_named(tmp_path: Path) -> None:
    write_masks(tmp_path, {"train": 1})
    (tmp_path / "train" / "0.jpg").write_bytes((tmp_path / "train" / "0.png").read_bytes())
    with pytest.raises(DataError, match=r"holds 0\.jpg and 0\.png"):
        find_pairs(tmp_path)


@pytest.mark.parametrize("folder", ["empty", "nowhere"])
def test_where_nothing_is_found_the_layouts_are_named(tmp_path: Path, folder: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=f"{folder}.*train/ and trainannot/, images/ and masks/"):
        find_pairs(tmp_path / folder)
