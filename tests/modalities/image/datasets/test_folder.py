from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from PIL import Image

from resnets.core.errors import DataError, UsageError
from resnets.modalities.base import Dataset
from resnets.modalities.image.base import ImageDataset
from resnets.modalities.image.datasets.folder import FolderDataset, open_folder, read_classes
from tests.conftest import noise, write_tree

TRAIN = {"train/cat": 3, "train/dog": 2, "train/owl": 2}


def names(dataset: Dataset) -> list[str]:
    return [dataset.name(index) for index in range(len(dataset))]


def classes_in_path(dataset: Dataset, root: Path) -> list[str]:
    """The class of each image, read off its path."""
    return [Path(name).relative_to(root).parts[0] for name in names(dataset)]


def labelled(dataset: Dataset) -> list[str]:
    """The class of each image, read off its label."""
    return [dataset.classes[label] for label in dataset.targets["labels"]]


@pytest.mark.parametrize("part", ["val", "valid", "validation", "test"])
def test_train_and_test_folders_become_the_two_parts(tmp_path: Path, part: str) -> None:
    write_tree(tmp_path, TRAIN | {f"{part}/cat": 2, f"{part}/dog": 1, f"{part}/owl": 1})
    splits = open_folder(tmp_path)
    assert splits.train.classes == splits.test.classes == ("cat", "dog", "owl")
    assert splits.train.targets["labels"].tolist() == [0, 0, 0, 1, 1, 2, 2]
    assert names(splits.test) == [
        str(tmp_path / part / f) for f in ("cat/0.png", "cat/1.png", "dog/0.png", "owl/0.png")
    ]
    assert splits.notes == ()


def test_an_image_is_the_one_that_its_name_says(tmp_path: Path) -> None:
    dataset = open_folder(write_tree(tmp_path, TRAIN | {"val/cat": 1})).train
    for index, name in enumerate(names(dataset)):
        np.testing.assert_array_equal(
            np.asarray(cast(ImageDataset, dataset).image(index, "RGB")), np.asarray(Image.open(name))
        )


def test_val_is_watched_and_test_is_scored_where_both_are_there(tmp_path: Path) -> None:
    splits = open_folder(write_tree(tmp_path, TRAIN | {"val/cat": 1, "test/dog": 1}))
    assert list(splits.splits) == ["train", "val", "test"]
    assert (splits.watched, splits.scored) == ("val", "test")
    assert names(splits.split("val")) == [str(tmp_path / "val" / "cat" / "0.png")]
    assert names(splits.split("test")) == [str(tmp_path / "test" / "dog" / "0.png")]


@pytest.mark.parametrize("part", ["val", "valid", "validation", "dev"])
def test_each_usual_name_of_val_is_the_split_val(tmp_path: Path, part: str) -> None:
    splits = open_folder(write_tree(tmp_path, TRAIN | {f"{part}/cat": 1}))
    assert list(splits.splits) == ["train", "val"]
    assert (splits.watched, splits.scored) == ("val", "val")


def test_a_second_folder_for_the_same_split_is_noted(tmp_path: Path) -> None:
    splits = open_folder(
        write_tree(tmp_path, {"train/cat": 3, "train/dog": 2, "val/cat": 1, "val/dog": 1, "valid/cat": 2})
    )
    assert len(splits.splits["val"]) == 2
    assert splits.notes == (f"{tmp_path}: val is the split val; valid was left out.",)


def test_a_folder_of_classes_alone_is_one_split(tmp_path: Path) -> None:
    splits = open_folder(write_tree(tmp_path, {"cat": 3, "dog": 2}))
    assert list(splits.splits) == ["all"]
    assert splits.scored == "all"
    assert len(splits.split("all")) == len(splits.train) == 5
    with pytest.raises(UsageError, match="no split 'val': choose --split from all"):
        splits.split("val")


def test_a_key_is_the_name_from_the_root_the_same_on_every_system(tmp_path: Path) -> None:
    write_tree(tmp_path, {"cat": 1, "dog/brown": 1})
    for form in ("NFC", "NFD"):  # macOS decomposes names
        Image.fromarray(noise(8, 8)).save(tmp_path / "dog" / f"{form} {unicodedata.normalize(form, 'Zürich')}.png")
    dataset = open_folder(tmp_path).train
    assert [dataset.key(i).decode() for i in range(4)] == [
        "cat/0.png", "dog/NFC Z\u00fcrich.png", "dog/NFD Z\u00fcrich.png", "dog/brown/0.png",
    ]  # fmt: skip


def test_one_class_alone_is_noted(tmp_path: Path) -> None:
    notes = open_folder(write_tree(tmp_path, {"train/cat": 2, "val/cat": 1})).notes
    assert f"{tmp_path / 'train'} has one class only, cat: there is no other class to distinguish it from." in notes


@pytest.mark.parametrize("split", ["val", "test"])
def test_a_class_without_images_in_a_split_is_noted(tmp_path: Path, split: str) -> None:
    notes = open_folder(write_tree(tmp_path, TRAIN | {f"{split}/cat": 1, f"{split}/owl": 1})).notes
    assert notes == (f"{tmp_path / split} has no images of dog; the other labels still match by name.",)


@pytest.mark.parametrize("place", ["train", "val", "."])
def test_images_beside_the_folders_are_noted(tmp_path: Path, place: str) -> None:
    write_tree(tmp_path, TRAIN | {"val/cat": 1, "val/dog": 1, "val/owl": 1})
    for name in ("a.jpg", "b.PNG"):
        Image.fromarray(noise(8, 8)).save(tmp_path / place / name)
    splits = open_folder(tmp_path)
    beside = "train/, in no split" if place == "." else "the class folders, in no class"
    assert splits.notes == (f"{tmp_path / place}: images beside {beside}, were left out (2): a.jpg, b.PNG.",)
    assert len(splits.train) == 7


def test_labels_match_by_name_where_val_lacks_a_class_and_holds_a_hidden_folder(tmp_path: Path) -> None:
    counts = {"val/dog": 2, "val/owl": 1, "val/.ipynb_checkpoints": 1, "train/.thumbnails": 1}
    splits = open_folder(write_tree(tmp_path, TRAIN | counts))
    assert splits.train.classes == splits.test.classes == ("cat", "dog", "owl")
    assert labelled(splits.test) == classes_in_path(splits.test, tmp_path / "val") == ["dog", "dog", "owl"]
    assert labelled(splits.train) == classes_in_path(splits.train, tmp_path / "train")
    notes = "\n".join(splits.notes)
    assert "no images of cat;" in notes
    assert ".ipynb_checkpoints" in notes
    assert ".thumbnails" in notes


def test_an_empty_folder_in_val_is_a_class_without_images(tmp_path: Path) -> None:
    write_tree(tmp_path, TRAIN | {"val/owl": 1})
    (tmp_path / "val" / "cat").mkdir()
    splits = open_folder(tmp_path)
    assert labelled(splits.test) == ["owl"]
    assert "no images of cat, dog;" in splits.notes[0]


def test_nested_images_belong_to_the_class_above_them(tmp_path: Path) -> None:
    dataset = open_folder(write_tree(tmp_path, TRAIN | {"train/dog/small/brown": 2, "val/cat": 1})).train
    assert labelled(dataset) == ["cat"] * 3 + ["dog"] * 4 + ["owl"] * 2


def test_files_that_are_no_images_are_left_out_and_noted(tmp_path: Path) -> None:
    write_tree(tmp_path, TRAIN | {"val/cat": 1})
    for name in ("labels.csv", "Thumbs.db", ".DS_Store"):
        (tmp_path / "train" / "cat" / name).write_text("x")
    (tmp_path / "train" / "README.md").write_text("beside the class folders")
    splits = open_folder(tmp_path)
    assert len(splits.train) == 7
    assert [note for note in splits.notes if "files that are not images were left out (2)" in note]


def test_endings_count_in_either_case(tmp_path: Path) -> None:
    write_tree(tmp_path, TRAIN | {"val/cat": 1})
    Image.fromarray(noise(8, 8)).save(tmp_path / "train" / "cat" / "PHOTO.JPEG")
    assert len(open_folder(tmp_path).train) == 8


@pytest.mark.parametrize(
    ("counts", "empty", "said"),
    [
        pytest.param(TRAIN | {"val/cat": 1, "val/wolf": 1}, (), "not trained on: wolf", id="unknown class"),
        pytest.param(TRAIN | {"val/cat": 1}, ("train/yak",), "no images of yak", id="empty class"),
        pytest.param(TRAIN, ("val",), r"val holds no class folders", id="empty val"),
        pytest.param(TRAIN, ("val/cat",), r"val holds no images", id="val without images"),
        pytest.param({}, ("train",), r"train holds no class folders", id="empty train"),
        pytest.param({}, (), "holds no class folders", id="empty folder"),
        pytest.param({".hidden": 2}, (), "holds no class folders", id="nothing but hidden"),
        pytest.param({"Train/cat": 9, "Test/cat": 3}, (), "no train/", id="parts called otherwise"),
        pytest.param({"val/cat": 9, "val/dog": 9}, (), "no train/", id="val without train"),
    ],
)
def test_ambiguous_layouts_are_refused(
    tmp_path: Path, counts: dict[str, int], empty: tuple[str, ...], said: str
) -> None:
    write_tree(tmp_path, counts)
    for folder in empty:
        (tmp_path / folder).mkdir(parents=True)
    with pytest.raises(DataError, match=said) as caught:
        open_folder(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_a_missing_folder_is_refused_with_advice(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no folder .*nowhere\. Give one that holds <class>"):
        open_folder(tmp_path / "nowhere")


def test_class_folders_may_be_called_valid_and_invalid(tmp_path: Path) -> None:
    assert open_folder(write_tree(tmp_path, {"valid": 5, "invalid": 5})).train.classes == ("invalid", "valid")


def test_file_lists_take_their_own_length_though_one_path_is_deep(tmp_path: Path) -> None:
    # Lists of strings are copied into each process that counts their references (pytorch issue 13246).
    write_tree(tmp_path, TRAIN)
    deep = tmp_path / "train" / "cat" / ("d" * 200) / ("e" * 200)
    write_tree(deep, {".": 1})
    dataset = read_classes(tmp_path / "train", None, [])
    assert isinstance(dataset, FolderDataset)
    assert dataset.files.nbytes == 7 * len("cat/0.png") + len(f"cat/{'d' * 200}/{'e' * 200}/0.png") + 9 * 8


def test_file_names_may_hold_any_characters(tmp_path: Path) -> None:
    write_tree(tmp_path, TRAIN | {"val/cat": 1})
    odd = tmp_path / "train" / "cat" / "Zürich 東京 #1.png"
    Image.fromarray(noise(8, 8)).save(odd)
    dataset = open_folder(tmp_path).train
    index = names(dataset).index(str(odd))
    np.testing.assert_array_equal(np.asarray(cast(ImageDataset, dataset).image(index, "RGB")), noise(8, 8))
