"""Which format data on disk is found to have."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from resnets.core.errors import DataError, UsageError
from resnets.data.split_settings import SplitSettings
from resnets.data.splits import with_watched_split
from resnets.modalities.catalog import FORMATS, open_dataset, summary
from tests.conftest import write_tree
from tests.modalities.tables import write_images

CSV = "path,label\na.png,x\nb.png,y\n"
JSONL = '{"path": "a.png", "target": -1.5}\n{"path": "b.png", "target": 20}\n'


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_images(tmp_path, "a.png", "b.png")


@pytest.mark.parametrize(("name", "text", "format"), [("t.csv", CSV, "csv"), ("T.JSONL", JSONL, "jsonl")])
def test_a_table_is_known_by_its_ending(root: Path, name: str, text: str, format: str) -> None:
    (root / name).write_text(text)
    assert open_dataset(str(root / name)).format == format


@pytest.mark.parametrize(("ending", "text"), [("csv", CSV), ("jsonl", JSONL)])
def test_a_folder_with_a_training_table_is_of_its_format(root: Path, ending: str, text: str) -> None:
    (root / f"train.{ending}").write_text(text)
    assert open_dataset(str(root)).format == ending


def test_a_folder_of_classes_is_what_it_was(tmp_path: Path) -> None:
    splits = open_dataset(str(write_tree(tmp_path, {"cat": 2, "dog": 1})))
    assert (splits.format, splits.train.classes) == ("folders", ("cat", "dog"))


def test_the_format_can_be_forced(root: Path) -> None:
    (root / "table.txt").write_text(CSV)
    with pytest.raises(DataError, match=r"table.txt is no table: .*\.csv or \.jsonl.*--format"):
        open_dataset(str(root / "table.txt"))
    assert open_dataset(str(root / "table.txt"), "csv").train.classes == ("x", "y")


@pytest.mark.parametrize("folders", [{"train/cat": 2, "train/dog": 1}, {"cat": 2, "dog": 1}])
def test_where_two_formats_fit_both_are_named(tmp_path: Path, folders: dict[str, int]) -> None:
    write_tree(tmp_path, folders)
    where = "train/" if "train/cat" in folders else ""
    (tmp_path / "train.csv").write_text(f"path,label\n{where}cat/0.png,x\n{where}dog/0.png,y\n")
    with pytest.raises(DataError, match="may be folders or csv: give --format folders or --format csv"):
        open_dataset(str(tmp_path))
    assert open_dataset(str(tmp_path), "csv").train.classes == ("x", "y")
    assert open_dataset(str(tmp_path), "folders").train.classes == ("cat", "dog")


def test_two_kinds_of_tables_are_both_named(root: Path) -> None:
    (root / "train.csv").write_text(CSV)
    (root / "train.jsonl").write_text(JSONL)
    with pytest.raises(DataError, match="may be csv or jsonl"):
        open_dataset(str(root))


def test_a_table_beside_the_folder_of_its_images_is_no_doubt(tmp_path: Path) -> None:
    write_images(tmp_path, "images/a.png", "images/b.png", "more/c.png")
    (tmp_path / "train.csv").write_text(CSV.replace("a.png", "images/a.png").replace("b.png", "images/b.png"))
    assert open_dataset(str(tmp_path)).format == "csv"


def test_a_table_without_paths_beside_class_folders_is_not_of_the_format(tmp_path: Path) -> None:
    write_tree(tmp_path, {"train/cat": 2, "train/dog": 1, "val/cat": 1})
    (tmp_path / "train.csv").write_text("epoch,loss\n1,2\n")
    assert open_dataset(str(tmp_path)).format == "folders"


@pytest.mark.parametrize(("given", "near"), [("cvs", "csv"), ("json", "jsonl"), ("folder", "folders")])
def test_an_unknown_format_is_refused_with_the_nearest(root: Path, given: str, near: str) -> None:
    with pytest.raises(UsageError, match=f"No format of data is called '{given}': did you mean .*{near}"):
        open_dataset(str(root), given)


def test_data_by_name_has_no_format() -> None:
    with pytest.raises(UsageError, match="digits is the name of a dataset, which has no format"):
        open_dataset("digits", "folders")
    assert open_dataset("digits").format == ""


def test_a_folder_forced_to_be_a_table_names_what_it_lacks(root: Path) -> None:
    with pytest.raises(DataError, match=r"has no train.csv"):
        open_dataset(str(root), "csv")
    (root / "t.csv").write_text(CSV)
    with pytest.raises(DataError, match=r"no folder .*t\.csv"):
        open_dataset(str(root / "t.csv"), "folders")


@pytest.mark.skipif(os.name == "nt", reason="no pipes")
def test_a_pipe_is_no_data(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(DataError, match="is no table"):
        open_dataset(str(tmp_path / "pipe.csv"))


def test_the_summary_is_one_line(tmp_path: Path) -> None:
    write_tree(tmp_path, {"train/cat": 3, "train/dog": 2, "val/cat": 4})
    name = str(tmp_path)
    assert summary("pho\ntos", open_dataset(name)) == "data  pho\\ntos: image folders, 2 classes, train 5, val 4"
    held_out = with_watched_split(open_dataset(str(tmp_path / "val"), "folders"), "x", SplitSettings(holdout=1))
    assert summary("v", held_out) == "data  v: image folders, 1 class, train 3, val 1"
    assert summary("digits", open_dataset("digits")) == "data  digits: images, 10 classes, train 1,437, test 360"
    for split, values in (("train", "-1.5 20"), ("val", "4")):
        rows = [f'{{"path": "{split}/cat/{i}.png", "target": {v}}}' for i, v in enumerate(values.split())]
        (tmp_path / f"{split}.jsonl").write_text("\n".join(rows))
    assert summary("x", open_dataset(name, "jsonl")) == (
        "data  x: JSON lines table of images, target from -1.5 to 20, train 2, val 1"
    )
    (tmp_path / "t.csv").write_text("path,labels\ntrain/cat/0.png,a;b\n")
    assert summary("t.csv", open_dataset(str(tmp_path / "t.csv"))) == (
        "data  t.csv: CSV table of images, multi-label, 2 classes, all 1"
    )


def test_every_format_says_what_it_is() -> None:
    assert list(FORMATS) == ["folders", "csv", "jsonl", "masks", "voc", "coco", "yolo", "webdataset"]
    assert all(each.what for each in FORMATS.values())
