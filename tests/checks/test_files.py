"""What lies in a folder of classes and is no sample; classes that are empty, missing, unknown or rare."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest

import resnets
from resnets.modalities.catalog import open_dataset
from tests.checks.scenes import CLEAN, check, problems, scene, write_scenes


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_scenes(tmp_path / "photos")


def put(path: Path, seed: int = 99) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    scene(seed).save(path, "JPEG")
    return str(path)


@pytest.mark.parametrize(
    ("kind", "file", "named"),
    [
        ("hidden", "train/.ipynb_checkpoints/1.jpg", "train/.ipynb_checkpoints"),
        ("hidden", "__MACOSX/train/cat/1.jpg", "__MACOSX"),
        ("hidden", "train/cat/._1.jpg", "train/cat/._1.jpg"),
        ("hidden", "val/cat/.old/1.jpg", "val/cat/.old"),
        ("loose_file", "train/1.jpg", "train/1.jpg"),
        ("loose_file", "1.jpg", "1.jpg"),
        ("loose_file", "more/cat/1.jpg", "more"),
        ("loose_file", "valid/cat/1.jpg", "valid"),
        ("loose_file", "test/1.jpg", "test"),
        ("not_an_image", "train/cat/1.jfif", "train/cat/1.jfif"),
        ("name_collision", "train/cat/1.JPG", "train/cat/1.jpg"),
    ],
)
def test_what_is_left_out_is_named(root: Path, kind: str, file: str, named: str) -> None:
    put(root / file)
    assert check(root) == {("warning", kind, str(root / named))}


def test_a_file_with_the_content_of_an_image_says_so(root: Path) -> None:
    put(root / "train" / "cat" / "1.jfif")
    (root / "train" / "cat" / "notes.txt").write_text("of the cats")
    one, other = resnets.check(root).of("not_an_image")
    assert "has the content of .jpg" in one.detail
    assert "has the content" not in other.detail


def test_other_files_beside_the_classes_are_no_problem(root: Path) -> None:
    (root / "README.md").write_text("Photographs.")
    (root / "train" / "README.md").write_text("Photographs.")
    assert check(root) == set()


@pytest.mark.skipif(os.name != "posix", reason="needs links")
def test_a_link_that_leads_nowhere_is_named(root: Path) -> None:
    (root / "train" / "cat" / "gone.jpg").symlink_to("nowhere.jpg")
    assert check(root) == {("warning", "missing_file", str(root / "train" / "cat" / "gone.jpg"))}


def test_names_in_two_forms_of_unicode_collide(root: Path) -> None:
    composed = unicodedata.normalize("NFC", "café.jpg")
    decomposed = unicodedata.normalize("NFD", composed)
    put(root / "train" / "cat" / composed, 98)
    put(root / "train" / "cat" / decomposed)
    (problem,) = resnets.check(root).problems
    assert problem.kind == "name_collision"
    assert {problem.path, *problem.related} == {str(root / "train" / "cat" / n) for n in (composed, decomposed)}
    assert problem.detail.isascii() or "\\u" in problem.detail or "\\x" in problem.detail


def test_an_empty_class_is_an_error_as_in_training(root: Path) -> None:
    (root / "train" / "owl").mkdir()
    assert check(root) == {("error", "empty_class", str(root / "train" / "owl"))}
    with pytest.raises(resnets.DataError, match="owl"):
        resnets.train(data=str(root), out=str(root.parent / "run"))


def test_an_empty_class_of_val_is_a_warning(root: Path) -> None:
    for path in (root / "val" / "cat").iterdir():
        path.unlink()
    assert check(root) == {("warning", "empty_class", str(root / "val" / "cat"))}


def test_a_class_that_a_split_lacks_is_named(root: Path) -> None:
    for number in range(3):
        put(root / "train" / "owl" / f"{number}.jpg", 90 + number)
    (problem,) = resnets.check(root).problems
    assert (problem.kind, problem.path) == ("missing_class", str(root / "train" / "owl"))
    assert "val has none" in problem.detail


def test_a_class_that_train_has_not_is_an_error(root: Path) -> None:
    put(root / "val" / "owl" / "1.jpg")
    assert check(root) == {("error", "unknown_class", str(root / "val" / "owl"))}


def test_a_class_with_one_sample_and_imbalance(root: Path) -> None:
    put(root / "train" / "owl" / "1.jpg", 60)
    put(root / "val" / "owl" / "1.jpg", 61)
    for number in range(6):
        put(root / "train" / "cat" / f"more{number}.jpg", 70 + number)
    assert check(root) == {(
        "warning", kind, str(root / "train" / "owl")) for kind in ("small_class", "imbalance")
    }  # fmt: skip
    (problem,) = resnets.check(root).of("imbalance")
    assert problem.related == (str(root / "train" / "cat"),)


def test_a_recording_among_images_is_an_error(root: Path) -> None:
    (root / "train" / "cat" / "1.wav").write_bytes(b"RIFF")
    assert check(root) == {("error", "not_an_image", str(root / "train" / "cat" / "1.wav"))}


def test_a_folder_of_classes_without_splits(tmp_path: Path) -> None:
    root = write_scenes(tmp_path / "plain", {"cat": 3, "dog": 3})
    result = resnets.check(root)
    assert result.problems == ()
    assert dict(result.samples) == {"all": 6}
    put(root / "loose.jpg")
    assert check(root) == {("warning", "loose_file", str(root / "loose.jpg"))}


def test_what_only_training_refuses_is_an_error(tmp_path: Path) -> None:
    root = write_scenes(tmp_path / "parts", {"Train/cat": 3, "Test/cat": 3})
    ((severity, kind, path),) = check(root)
    assert (severity, kind, path) == ("error", "unreadable", str(root))


def test_a_test_folder_without_labels_is_as_in_training(tmp_path: Path) -> None:
    write_scenes(tmp_path / "data", {**CLEAN, "test/unknown": 3})
    found = check(tmp_path / "data")
    assert [(severity, kind) for severity, kind, _ in found] == [("warning", "loose_file")]
    assert "test" not in open_dataset(str(tmp_path / "data")).splits
    assert problems(resnets.check(f"file://{tmp_path}/data")) == found
