"""Faults of images with masks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import resnets
from tests.checks.scenes import check, scene
from tests.conftest import truncate


def write_mask(path: Path, *values: int, size: tuple[int, int] = (48, 64)) -> None:
    mask = np.resize(np.array(values, np.uint8), size)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask).save(path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Images with masks of the classes sky and road, and pixels that are ignored."""
    for seed, (split, number) in enumerate((split, number) for split in ("train", "val") for number in range(4)):
        path = tmp_path / "street" / split / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        scene(seed).save(path)
        write_mask(tmp_path / "street" / f"{split}annot" / f"{number}.png", 0, 1, 255)
    (tmp_path / "street" / "classes.txt").write_text("sky\nroad\n")
    return tmp_path / "street"


@pytest.mark.parametrize("named", [True, False])
def test_in_clean_masks_nothing_is_wrong(root: Path, named: bool) -> None:
    if not named:
        (root / "classes.txt").unlink()
    result = resnets.check(root)
    assert (result.problems, result.format, dict(result.samples)) == ((), "masks", {"train": 4, "val": 4})
    assert dict(result.classes) == ({"sky": 8, "road": 8} if named else {"0": 8, "1": 8})


PLANTS: list[tuple[str, str, Callable[[Path], object]]] = [
    ("mask_value", "valannot/2.png", lambda path: write_mask(path, 0, 1, 7)),
    ("mask_value", "trainannot/2.png", lambda path: scene(50).save(path)),
    ("mask_size", "trainannot/2.png", lambda path: write_mask(path, 0, 1, size=(48, 60))),
    ("truncated", "trainannot/2.png", lambda path: truncate(path)),
    ("empty_file", "valannot/2.png", lambda path: path.write_bytes(b"")),
    ("unreadable", "valannot/2.png", lambda path: path.write_bytes(b"no image")),
    ("unreadable", "val/2.png", lambda path: path.write_bytes(b"no image")),
    ("missing_annotation", "train/9.png", lambda path: scene(50).save(path)),
    ("orphan_annotation", "trainannot/9.png", lambda path: write_mask(path, 0, 1)),
]


@pytest.mark.parametrize(("kind", "file", "plant"), PLANTS)
def test_a_fault_is_found_by_its_path(root: Path, kind: str, file: str, plant: Callable[[Path], object]) -> None:
    plant(root / file)
    assert check(root) == {("error", kind, str(root / file))}


def test_without_names_a_value_that_train_has_not_is_wrong(root: Path) -> None:
    (root / "classes.txt").unlink()
    write_mask(root / "valannot" / "2.png", 0, 1, 7)
    (problem,) = resnets.check(root).problems
    assert (problem.kind, problem.path) == ("mask_value", str(root / "valannot" / "2.png"))
    assert problem.related == (str(root / "val" / "2.png"),)
    assert "value 7" in problem.detail


def test_lists_of_pairs(root: Path) -> None:
    lines = [f"train/{number}.png trainannot/{number}.png" for number in range(4)]
    (root / "train.txt").write_text("\n".join(lines))
    assert check(root) == set()
    lines += ["train/9.png trainannot/9.png", "train/0.png trainannot/0.png", "nonsense"]
    (root / "train.txt").write_text("\n".join(lines))
    found = resnets.check(root).problems
    assert sorted(problem.kind for problem in found) == ["bad_row", "bad_row", "missing_file"]
    assert {problem.path for problem in found} <= {str(root / "train.txt"), str(root / "train" / "0.png")}


def test_fast_compares_sizes_alone(root: Path) -> None:
    write_mask(root / "trainannot" / "2.png", 0, 1, size=(48, 60))
    write_mask(root / "trainannot" / "3.png", 0, 9)
    assert check(root, fast=True) == {("error", "mask_size", str(root / "trainannot" / "2.png"))}


def test_masks_of_which_training_leaves_one_class_are_refused(root: Path) -> None:
    """Black and white: 255 is ignored unless it is said to be a class."""
    (root / "classes.txt").unlink()
    for path in root.glob("*annot/*.png"):
        write_mask(path, 0, 255)
    (problem,) = resnets.check(root).problems
    assert problem.severity == "error"
    assert "besides 255, which is ignored, the masks have one class" in problem.detail
    assert "task.ignore=none" in problem.detail


@pytest.mark.parametrize("fast", [False, True])
def test_a_mask_is_as_large_as_its_upright_image(root: Path, fast: bool) -> None:
    image = Image.open(root / "train" / "0.png").convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = 6
    (root / "train" / "0.png").unlink()
    image.transpose(Image.Transpose.ROTATE_90).save(root / "train" / "0.jpg", exif=exif)
    write_mask(root / "trainannot" / "0.png", 0, 1, 255, size=image.size[::-1])
    assert "mask_size" not in {each.kind for each in resnets.check(root, fast=fast).problems}
