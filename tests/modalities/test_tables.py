"""Tables that are right: what becomes of their rows and columns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnets.core.errors import DataError
from resnets.modalities.base import Subset
from resnets.modalities.table_dataset import TableDataset
from resnets.modalities.table_rows import TableFormat
from resnets.modalities.tables import open_tables
from tests.modalities.tables import read, write_images

NAMES = ("a.png", "b.png", "c/d.png", "e.png")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_images(tmp_path, *NAMES)


def test_labels_are_classes_in_the_order_of_their_names(root: Path) -> None:
    splits = read(root, "path,label\na.png,dog\nb.png,cat\nc/d.png,dog\n")
    dataset = splits.splits["all"]
    assert list(splits.splits) == ["all"]
    assert (dataset.task, dataset.modality, dataset.classes) == ("classification", "image", ("cat", "dog"))
    assert dataset.targets["labels"].tolist() == dataset.strata.tolist() == [1, 0, 1]
    assert dataset.targets["labels"].dtype == np.int64
    assert splits.notes == ()


def test_a_sample_is_the_file_of_its_row(root: Path) -> None:
    dataset = read(root, "path,label\nc/d.png,x\nb.png,y\n").train
    assert dataset.name(0) == str(root / "c" / "d.png")
    assert dataset.key(0) == b"c/d.png"
    assert dataset.encoded(0) == (root / "c" / "d.png").read_bytes()
    np.testing.assert_array_equal(np.asarray(dataset.image(1, "RGB")), np.asarray(Image.open(root / "b.png")))  # type: ignore[attr-defined]
    assert [bytes(name) for name in dataset.on_disk[0].names] == [b"c/d.png", b"b.png"]
    assert dataset.on_disk[0].root == root
    assert dataset.target(1) == {"labels": 1}


def test_several_labels_are_a_column_for_each_class(root: Path) -> None:
    dataset = read(root, 'path,labels\na.png,dog; cat\nb.png,\nc/d.png,"[""cat"", ""a;b""]"\ne.png,dog;dog\n').train
    assert (dataset.task, dataset.classes) == ("multi-label", ("a;b", "cat", "dog"))
    assert dataset.targets["labels"].tolist() == [[0, 1, 1], [0, 0, 0], [1, 1, 0], [0, 0, 1]]
    assert dataset.targets["labels"].dtype == np.uint8
    assert dataset.strata.tolist() == [0, 0, 0, 0]


def test_samples_without_any_of_the_labels_are_counted_in_a_note(root: Path) -> None:
    splits = read(root, "path,labels\na.png,dog\nb.png,\n")
    assert splits.notes == (f"{root / 'data.csv'}: 1 of 2 samples of all have none of the labels.",)


def test_targets_are_numbers(root: Path) -> None:
    dataset = read(root, "path,target\na.png,-90\nb.png, 1.5e1\nc/d.png,.25\n").train
    assert (dataset.task, dataset.classes) == ("regression", ("target",))
    assert dataset.targets["target"].tolist() == [-90, 15, 0.25]
    assert dataset.targets["target"].dtype == np.float32
    assert dataset.strata.tolist() == [0, 0, 0]


def test_rows_belong_to_the_split_they_name(root: Path) -> None:
    splits = read(root, "path,label,split\na.png,x,train\nb.png,y,train\nc/d.png,y,Validation\ne.png,x,test\n")
    assert {name: [each.key(i) for i in range(len(each))] for name, each in splits.splits.items()} == {
        "train": [b"a.png", b"b.png"],
        "val": [b"c/d.png"],
        "test": [b"e.png"],
    }
    assert splits.split("val").targets["labels"].tolist() == [1]


@pytest.mark.parametrize("val", ["val", "valid", "validation", "dev"])
@pytest.mark.parametrize("row", ["{},{}", '{{"path": "{}", "label": "{}"}}'], ids=["csv", "jsonl"])
def test_a_folder_may_have_a_table_for_each_split(root: Path, val: str, row: str) -> None:
    format: TableFormat = "csv" if row == "{},{}" else "jsonl"
    for split, rows in {
        "train": [("a.png", "x"), ("b.png", "y")],
        val: [("c/d.png", "x")],
        "test": [("e.png", "y")],
    }.items():
        lines = [row.format(*each) for each in rows]
        (root / f"{split}.{format}").write_text("\n".join(["path,label", *lines] if format == "csv" else lines))
    splits = open_tables(root, format)
    assert {name: each.targets["labels"].tolist() for name, each in splits.splits.items()} == {
        "train": [0, 1],
        "val": [0],
        "test": [1],
    }
    assert splits.split("val").name(0) == str(root / "c" / "d.png")


def test_json_lines_have_the_same_columns(root: Path) -> None:
    text = (
        '{"path": "a.png", "labels": ["cat", 7], "split": "train"}\n\n'
        '{"split": "train", "labels": "dog;cat", "path": "b.png"}\n{"path": "e.png", "labels": [], "split": "val"}\n'
    )
    splits = read(root, text, "data.jsonl")
    assert splits.train.classes == ("7", "cat", "dog")
    assert splits.train.targets["labels"].tolist() == [[1, 1, 0], [0, 1, 1]]
    assert splits.split("val").targets["labels"].tolist() == [[0, 0, 0]]
    assert read(root, '{"path": "a.png", "target": 3}\n{"path": "b.png", "target": 0.5}', "n.jsonl").train.targets[
        "target"
    ].tolist() == [3, 0.5]


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_csv_of_other_programs_is_read(root: Path, bom: bytes, end: bytes) -> None:
    name = 'ä "x", 1.png'
    write_images(root, name)
    lines = ["path,label", '"ä ""x"", 1.png","a, b"', '"b.png","two', 'lines"', "", "   ,"]
    dataset = read(root, bom + end.join(line.encode() for line in lines[:-1])).train
    assert dataset.name(0) == str(root / name)
    assert dataset.classes == ("a, b", "two" + end.decode() + "lines")


def test_paths_are_normalized(root: Path) -> None:
    dataset = read(root, "path,label\n./a.png,x\nc/../b.png,y\n").train
    assert [dataset.key(0), dataset.key(1)] == [b"a.png", b"b.png"]


def test_a_link_within_the_folder_is_followed(root: Path) -> None:
    (root / "link.png").symlink_to(root / "a.png")
    (root / "folder").symlink_to(root / "c")
    assert len(read(root, "path,label\nlink.png,x\nfolder/d.png,y\n").train) == 2


def test_columns_that_are_not_used_are_named(root: Path) -> None:
    table = "path,label,width,group,fold,height\na.png,x,1,g,2,3\nb.png,y,1,g,1,3\n"
    assert read(root, table).notes == (f"{root / 'data.csv'}: columns that are not used: width, height.",)


def test_a_single_class_is_noted(root: Path) -> None:
    (note,) = read(root, "path,label\na.png,x\nb.png,x\n").notes
    assert "has one class only, x" in note


def test_a_table_of_sounds_is_one(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    dataset = read(tmp_path, "path,target\na.wav,1\n").train
    assert dataset.modality == "audio"
    assert dataset.recording(0) == tmp_path / "a.wav"  # type: ignore[attr-defined]


def test_a_part_of_a_table_has_the_targets_of_its_samples(root: Path) -> None:
    whole = read(root, "path,labels\na.png,x\nb.png,y\nc/d.png,x;y\n").train
    part = Subset(whole, np.array([2, 0]))
    assert part.targets["labels"].tolist() == [[1, 1], [1, 0]]
    assert part.key(0) == b"c/d.png"


def test_groups_and_folds_are_texts_or_whole_numbers(root: Path) -> None:
    rows = '{"path": "a.png", "label": "x", "group": 7, "fold": 2.0}\n{"path": "b.png", "label": "y", "group": null}\n'
    (root / "data.jsonl").write_text(rows)
    dataset = open_tables(root / "data.jsonl", "jsonl").train
    assert isinstance(dataset, TableDataset)
    assert dataset.groups is not None
    assert dataset.folds is not None
    assert (list(dataset.groups), list(dataset.folds)) == ([b"7", b""], [b"2", b""])
    plain = read(root, "path,label,group\na.png,x,\nb.png,y, \n").train
    assert isinstance(plain, TableDataset)
    assert (plain.groups, plain.folds) == (None, None)


@pytest.mark.parametrize("cell", ["true", "1.5", "[1]", '"\\ud800"'])
def test_other_groups_are_refused_with_their_line(root: Path, cell: str) -> None:
    (root / "data.jsonl").write_text(f'{{"path": "a.png", "label": "x", "group": {cell}}}\n')
    with pytest.raises(DataError, match=r"data\.jsonl, line 1: group is a text or a whole number"):
        open_tables(root / "data.jsonl", "jsonl")
