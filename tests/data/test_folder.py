from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnets.data.folder import FolderSource, open_folder, read_classes
from resnets.data.sources import Dataset, Source
from resnets.errors import DataError

from .conftest import noise, write_tree

TRAIN = {"train/cat": 3, "train/dog": 2, "train/owl": 2}


def names(source: Source) -> list[str]:
    return [source.name(index) for index in range(len(source))]


def classes_in_path(source: Source, root: Path) -> list[str]:
    """The class of each picture, read off its path."""
    return [Path(name).relative_to(root).parts[0] for name in names(source)]


def labelled(source: Source) -> list[str]:
    """The class of each picture, read off its label."""
    return [source.classes[label] for label in source.labels]


@pytest.mark.parametrize("part", ["val", "valid", "validation", "test"])
def test_train_and_test_folders_become_the_two_parts(tmp_path: Path, part: str) -> None:
    write_tree(tmp_path, TRAIN | {f"{part}/cat": 2, f"{part}/dog": 1, f"{part}/owl": 1})
    dataset = open_folder(tmp_path)
    assert dataset.train.classes == dataset.test.classes == ("cat", "dog", "owl")
    assert dataset.train.labels.tolist() == [0, 0, 0, 1, 1, 2, 2]
    assert names(dataset.test) == [
        str(tmp_path / part / f) for f in ("cat/0.png", "cat/1.png", "dog/0.png", "owl/0.png")
    ]
    assert dataset.notes == ()


def test_a_picture_is_the_one_that_its_name_says(tmp_path: Path) -> None:
    source = open_folder(write_tree(tmp_path, TRAIN | {"val/cat": 1})).train
    for index, name in enumerate(names(source)):
        np.testing.assert_array_equal(np.asarray(source.picture(index, "RGB")), np.asarray(Image.open(name)))


def test_val_is_preferred_to_test(tmp_path: Path) -> None:
    dataset = open_folder(write_tree(tmp_path, TRAIN | {"val/cat": 1, "test/dog": 1}))
    assert names(dataset.test) == [str(tmp_path / "val" / "cat" / "0.png")]


def test_labels_match_by_name_where_val_lacks_a_class_and_holds_a_hidden_folder(tmp_path: Path) -> None:
    counts = {"val/dog": 2, "val/owl": 1, "val/.ipynb_checkpoints": 1, "train/.thumbnails": 1}
    dataset = open_folder(write_tree(tmp_path, TRAIN | counts))
    assert dataset.train.classes == dataset.test.classes == ("cat", "dog", "owl")
    assert labelled(dataset.test) == classes_in_path(dataset.test, tmp_path / "val") == ["dog", "dog", "owl"]
    assert labelled(dataset.train) == classes_in_path(dataset.train, tmp_path / "train")
    notes = "\n".join(dataset.notes)
    assert "no pictures of cat;" in notes
    assert ".ipynb_checkpoints" in notes
    assert ".thumbnails" in notes


def test_an_empty_folder_in_val_is_a_class_without_pictures(tmp_path: Path) -> None:
    write_tree(tmp_path, TRAIN | {"val/owl": 1})
    (tmp_path / "val" / "cat").mkdir()
    dataset = open_folder(tmp_path)
    assert labelled(dataset.test) == ["owl"]
    assert "no pictures of cat, dog;" in dataset.notes[0]


def test_nested_pictures_belong_to_the_class_above_them(tmp_path: Path) -> None:
    source = open_folder(write_tree(tmp_path, TRAIN | {"train/dog/small/brown": 2, "val/cat": 1})).train
    assert labelled(source) == ["cat"] * 3 + ["dog"] * 4 + ["owl"] * 2


def test_files_that_are_no_pictures_are_left_out_and_noted(tmp_path: Path) -> None:
    write_tree(tmp_path, TRAIN | {"val/cat": 1})
    for name in ("labels.csv", "Thumbs.db", ".DS_Store"):
        (tmp_path / "train" / "cat" / name).write_text("x")
    (tmp_path / "train" / "README.md").write_text("beside the class folders")
    dataset = open_folder(tmp_path)
    assert len(dataset.train) == 7
    assert [note for note in dataset.notes if "2 files that are not pictures" in note]


def test_endings_count_in_either_case(tmp_path: Path) -> None:
    write_tree(tmp_path, TRAIN | {"val/cat": 1})
    Image.fromarray(noise(8, 8)).save(tmp_path / "train" / "cat" / "PHOTO.JPEG")
    assert len(open_folder(tmp_path).train) == 8


@pytest.mark.parametrize(
    ("counts", "empty", "said"),
    [
        pytest.param(TRAIN | {"val/cat": 1, "val/wolf": 1}, (), "not trained on: wolf", id="unknown class"),
        pytest.param(TRAIN | {"val/cat": 1}, ("train/yak",), "no pictures of yak", id="empty class"),
        pytest.param(TRAIN, ("val",), r"val holds no class folders", id="empty val"),
        pytest.param(TRAIN, ("val/cat",), r"val holds no pictures", id="val without pictures"),
        pytest.param({}, ("train",), r"train holds no class folders", id="empty train"),
        pytest.param({}, (), "holds no class folders", id="empty folder"),
        pytest.param({".hidden": 2}, (), "holds no class folders", id="nothing but hidden"),
        pytest.param({"cat": 1, "dog": 1}, (), "too small to hold out", id="too few to hold out"),
        pytest.param({"Train/cat": 9, "Test/cat": 3}, (), "no train/", id="parts called otherwise"),
        pytest.param({"val/cat": 9, "val/dog": 9}, (), "no train/", id="val without train"),
    ],
)
def test_layouts_that_cannot_be_meant_are_refused(
    tmp_path: Path, counts: dict[str, int], empty: tuple[str, ...], said: str
) -> None:
    write_tree(tmp_path, counts)
    for folder in empty:
        (tmp_path / folder).mkdir(parents=True)
    with pytest.raises(DataError, match=said) as caught:
        open_folder(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_a_missing_folder_is_refused_with_advice(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no folder .*nowhere\. Give one that holds train/<class>"):
        open_folder(tmp_path / "nowhere")


def parts(dataset: Dataset, root: Path) -> tuple[list[str], list[str]]:
    train, test = ([os.path.relpath(name, root) for name in names(part)] for part in (dataset.train, dataset.test))
    return train, test


@pytest.mark.parametrize("prefix", ["", "train/"])
def test_without_val_the_same_fifth_of_each_class_is_always_held_out(tmp_path: Path, prefix: str) -> None:
    counts = {f"{prefix}cat": 10, f"{prefix}dog": 20}
    first, again = write_tree(tmp_path / "first", counts), write_tree(tmp_path / "again", counts, reverse=True)
    dataset = open_folder(first)
    train, test = parts(dataset, first)
    assert parts(open_folder(again), again) == (train, test)
    assert (train, test) == (sorted(train), sorted(test))
    assert sorted(train + test) == sorted(f"{folder}/{n}.png" for folder, count in counts.items() for n in range(count))
    assert labelled(dataset.test) == classes_in_path(dataset.test, first / prefix) == ["cat"] * 2 + ["dog"] * 4
    assert "6 of its 30 pictures are held out" in dataset.notes[-1]


def test_class_folders_may_be_called_valid_and_invalid(tmp_path: Path) -> None:
    assert open_folder(write_tree(tmp_path, {"valid": 5, "invalid": 5})).train.classes == ("invalid", "valid")


def test_long_file_lists_are_held_as_one_array(tmp_path: Path) -> None:
    # Lists of strings are copied into each process that counts their references (pytorch issue 13246).
    source = read_classes(write_tree(tmp_path, TRAIN) / "train", None, [])
    assert isinstance(source, FolderSource)
    assert source.files.dtype.kind == "S"
    assert source.files.nbytes == 7 * len("cat/0.png")


def test_file_names_may_hold_any_characters(tmp_path: Path) -> None:
    write_tree(tmp_path, TRAIN | {"val/cat": 1})
    odd = tmp_path / "train" / "cat" / "Zürich 東京 #1.png"
    Image.fromarray(noise(8, 8)).save(odd)
    source = open_folder(tmp_path).train
    index = names(source).index(str(odd))
    np.testing.assert_array_equal(np.asarray(source.picture(index, "RGB")), noise(8, 8))
