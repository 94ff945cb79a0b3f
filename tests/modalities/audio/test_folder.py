"""Folders of recordings: layouts, what they look like, and folders that hold images too."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from resnets.core.errors import DataError
from resnets.modalities.audio.datasets.folder import SoundFolder, looks_like_sounds, open_sounds
from resnets.modalities.catalog import open_dataset
from resnets.modalities.image.datasets.folder import open_folder
from tests.conftest import write_tree
from tests.modalities.audio.sounds import tone, write, write_classes

TRAIN = {"train/cat": 3, "train/dog": 2}


def test_train_val_and_test_folders_are_the_splits(tmp_path: Path) -> None:
    splits = open_sounds(write_classes(tmp_path, TRAIN | {"valid/dog": 1, "test/cat": 2}))
    assert list(splits.splits) == ["train", "val", "test"]
    train = splits.train
    assert isinstance(train, SoundFolder)
    assert (train.modality, train.task, train.classes) == ("audio", "classification", ("cat", "dog"))
    assert train.targets["labels"].tolist() == train.strata.tolist() == [0, 0, 0, 1, 1]
    assert [int(train.target(index)["labels"]) for index in range(5)] == [0, 0, 0, 1, 1]
    assert splits.split("val").targets["labels"].tolist() == [1]
    match = "the other labels still match by name."
    assert splits.notes == (f"{tmp_path / 'valid'} has no recordings of cat; {match}",
                            f"{tmp_path / 'test'} has no recordings of dog; {match}")  # fmt: skip


def test_a_folder_of_classes_alone_is_one_split(tmp_path: Path) -> None:
    dataset = open_sounds(write_classes(tmp_path, {"cat": 2, "dog/brown": 1})).split("all")
    assert [dataset.key(index) for index in range(3)] == [b"cat/0.wav", b"cat/1.wav", b"dog/brown/0.wav"]
    assert dataset.name(1) == str(tmp_path / "cat" / "1.wav")
    assert dataset.encoded(1) == (tmp_path / "cat" / "1.wav").read_bytes()
    assert [os.fsdecode(name) for name in dataset.on_disk[0].names] == ["cat/0.wav", "cat/1.wav", "dog/brown/0.wav"]


@pytest.mark.parametrize("ending", ["wav", "WAV", "flac", "ogg"])
def test_recordings_are_known_by_their_endings(tmp_path: Path, ending: str) -> None:
    root = write_classes(tmp_path, {"cat": 1, "dog": 1})
    write(root / "dog" / f"more.{ending}")
    assert len(open_sounds(root).train) == 3


@pytest.mark.parametrize(
    ("counts", "empty", "said"),
    [
        pytest.param({"train/cat": 1, "val/wolf": 1}, (), "not trained on: wolf", id="unknown class"),
        pytest.param({"train/cat": 1}, ("train/dog",), "has no recordings of dog", id="empty class"),
        pytest.param({}, ("cat",), "has no recordings of cat", id="no recordings"),
        pytest.param({}, (), r"holds no class folders: put the recordings into", id="empty folder"),
        pytest.param({"Train/cat": 1, "Test/cat": 1}, (), "no train/", id="parts called otherwise"),
    ],
)
def test_layouts_that_are_not_clear_are_refused(
    tmp_path: Path, counts: dict[str, int], empty: tuple[str, ...], said: str
) -> None:
    write_classes(tmp_path, counts)
    for folder in empty:
        (tmp_path / folder).mkdir(parents=True)
    with pytest.raises(DataError, match=said) as caught:
        open_sounds(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_a_missing_folder_is_refused_with_advice(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no folder .*nowhere\. Give one that holds <class>/\*\.wav"):
        open_sounds(tmp_path / "nowhere")


def test_other_files_are_left_out_and_noted(tmp_path: Path) -> None:
    root = write_classes(tmp_path, TRAIN)
    (root / "train" / "cat" / "labels.txt").write_text("x")
    write(root / "train" / "loose.wav")
    assert open_sounds(root).notes == (
        f"{root / 'train'}: recordings beside the class folders, in no class, were left out (1): loose.wav.",
        f"{root / 'train'}: files that are not recordings were left out (1), such as cat/labels.txt.",
    )


@pytest.mark.parametrize("place", ["train/cat", "train/dog", "val/cat"])
def test_a_folder_of_both_images_and_recordings_is_refused(tmp_path: Path, place: str) -> None:
    sounds = write_classes(tmp_path / "sounds", TRAIN | {"val/cat": 1})
    images = write_tree(tmp_path / "images", TRAIN | {"val/cat": 1})
    write_tree(sounds / place / "more", {".": 1})
    write(images / place / "more.wav", tone())
    name = place.split("/")[1]
    for root, first, other in ((sounds, "recordings", "images"), (images, "images", "recordings")):
        with pytest.raises(DataError, match=rf"holds both {first}, such as cat/0.*, and {other}, such as {name}/more"):
            open_dataset(str(root))


def test_the_first_file_of_a_class_says_what_a_folder_is_of(tmp_path: Path) -> None:
    sounds = write_classes(tmp_path / "sounds", TRAIN)
    (sounds / "cover.png").write_bytes(b"")  # beside the classes
    images = write_tree(tmp_path / "images", {"cat": 1, "dog": 1})
    write(images / "loose.wav")
    nothing = tmp_path / "nothing"
    (nothing / "cat").mkdir(parents=True)
    (nothing / "cat" / "notes.txt").write_text("x")
    (nothing / "cat" / "again").symlink_to("..")  # a circle
    assert [looks_like_sounds(root) for root in (sounds, images, nothing)] == [True, False, False]
    assert open_dataset(str(sounds)).train.modality == "audio"
    assert open_dataset(str(images)).train.modality == "image"


def test_folders_of_images_are_read_as_before(tmp_path: Path) -> None:
    root = write_tree(tmp_path, {"cat": 2, "dog": 1})
    (root / "cat" / "notes.txt").write_text("x")
    splits = open_folder(root)
    assert splits.notes == (f"{root}: files that are not images were left out (1), such as cat/notes.txt.",)
    np.testing.assert_array_equal(splits.train.targets["labels"], [0, 0, 1])
