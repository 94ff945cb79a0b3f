"""Tables that are wrong: each error names the file, the line, and what to do."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from resnets.core.errors import DataError
from resnets.modalities.tables import open_tables
from tests.modalities.tables import read, write_images

NAMES = ("a.png", "b.png", "c.png")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_images(tmp_path / "data", *NAMES)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("file,label\na.png,x\n", 1, "no column path, only file, label"),
        ("filepath,label\na.png,x\n", 1, "no column path, only filepath, label: rename filepath"),
        ("path;label\na.png;x\n", 1, "separated by ';'; use commas"),
        ("path\tlabel\na.png\tx\n", 1, "separated by '.t'; use commas"),
        ("path,labl\na.png,x\n", 1, "no column label, labels or target, only path, labl: rename labl"),
        ("text,label\nhello,x\n", 1, "tables of text are not read"),
        ("path,label,target\na.png,x,1\n", 1, "label and target: keep one"),
        ("path,label,labels\na.png,x,1\n", 1, "label and labels: keep one"),
        ("path,label,label\na.png,x,1\n", None, "two columns called 'label'"),
        ("path,label\na.png,x\nb.png,\n", 3, "an empty label"),
        ("path,label\na.png,x\nb.png,  \n", 3, "an empty label"),
        ("path,labels\na.png,x\nb.png,x;;y\n", 3, "an empty label"),
        ('path,labels\na.png,"[""x"", null]"\n', 2, "an empty label"),
        ('path,labels\na.png,"[""x"""\n', 2, "no JSON list"),
        ('path,labels\na.png,"[[""x""]]"\n', 2, "a label is a text or a whole number, not \\['x'\\]"),
        ("path,labels\na.png,\nb.png,\n", None, "no label in any row"),
        ("path,target\na.png,1\nb.png,nan\n", 3, "no finite number .*'nan'"),
        ("path,target\na.png,inf\n", 2, "no finite number"),
        ("path,target\na.png,1e39\n", 2, "no finite number .of float32"),
        ("path,target\na.png,1e999\n", 2, "no finite number"),
        ("path,target\na.png,\n", 2, "no finite number .*''"),
        ("path,target\na.png,1_000\n", 2, "no finite number"),
        ('path,target\na.png,"3,5"\n', 2, "no finite number .*'3,5'"),
        ("path,label\n,x\n", 2, "has no path"),
        ("path,label\n../a.png,x\n", 2, "outside the folder"),
        ("path,label\nc/../../data/a.png,x\n", 2, "outside the folder"),
        ("path,label\n/etc/a.png,x\n", 2, "is absolute"),
        ("path,label\nC:\\a.png,x\n", 2, "is absolute"),
        ("path,label\na.png,x\nnotes.txt,x\n", None, "1 of 2 files are not there"),
        ("path,label\na.png,x\na.png,x\n", 3, "a.png was on .*line 2"),
        ("path,label\na.png,x\n./a.png,y\n", 3, "a.png was on .*line 2"),
        ("path,label,split\na.png,x,train\na.png,x,val\n", 3, "a.png was on .*line 2"),
        ("path,label,split\na.png,x,train\nb.png,x,\n", 3, "split is train, val or test, not ''"),
        ("path,label,split\na.png,x,training\n", 2, "split is train, val or test, not 'training'"),
        ("path,label,split\na.png,x,val\n", None, "no row of the split train"),
        ("path,label,split\na.png,x,train\nb.png,y,val\n", 3, "1 labels are nowhere in train, which has x:"),
        ("path,labels,split\na.png,x,train\nb.png,x;y,test\n", 3, "nowhere in train"),
        ("path,label\na.png,x,y\n", 2, "has 3 fields, and the header 2"),
        ("path,label\na.png\n", 2, "has 1 fields, and the header 2"),
        ('path,label\n"a.png,x\nb.png,y\n', 2, "Is a quote never closed"),
        ('path,label\n"a.png"b,x\n', 2, "is not CSV"),
        ("path,label\ra.png,x\r", 1, r"a carriage return \(CR\) without a line feed"),
        (f"path,label\na.png,{'x' * 140_000}\n", 2, "field larger than field limit"),
        (f"path,label\na.png,{'x' * 2**20}\n", 2, "more than 1,048,576 bytes"),
        ("path,label\n", None, "has no rows"),
        ("", None, "is empty: a table begins with its columns"),
        ("path,label\na.png,x\0\n", 2, "it is a binary file"),
        ("path,label\na.png,\xe9\n".encode("latin-1"), 2, "not UTF-8"),
        ("path,label\na.png,x\n".encode("utf-16"), None, "in UTF-16: save it as UTF-8"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", 1, "not UTF-8"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_csv_is_named(root: Path, text: str | bytes, line: int | None, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read(root, text)
    place = str(root / "data.csv") + (f", line {line}" if line else "")
    assert place in str(caught.value)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ('{"path": "a.png", "label": "x"}\n{"path": "b.png"\n', 2, "is not JSON"),
        ('{"path": "a.png", "label": "x", "label": "y"}\n', 1, "'label' occurs twice"),
        ('["a.png", "x"]\n', 1, "no JSON object, but \\['a.png', 'x'\\]"),
        ("[" * 100_000 + "\n", 1, "is not JSON"),
        ('{"label": "x"}\n', 1, "no column path"),
        ('{"path": "a.png"}\n', 1, "no column label, labels or target"),
        ('{"path": "a.png", "label": "x", "target": 1}\n', 1, "label and target"),
        ('{"path": "a.png", "label": "x"}\n{"path": "b.png", "target": 1}\n', 2, "has a target, and .*line 1 a label"),
        ('{"path": 3, "label": "x"}\n', 1, "has no path"),
        ('{"path": "a\\u0000.png", "label": "x"}\n', 1, "no file can be called"),
        ('{"path": "a.png", "label": null}\n', 1, "an empty label"),
        ('{"path": "a.png", "label": "\\ud800"}\n', 1, "half of a character"),
        ('{"path": "a.png", "labels": ["x", "\\udcff"]}\n', 1, "half of a character"),
        ('{"path": "a.png", "label": 1.5}\n', 1, "a text or a whole number, not 1.5"),
        ('{"path": "a.png", "label": true}\n', 1, "a text or a whole number, not True"),
        ('{"path": "a.png", "labels": null}\n', 1, "labels is a list such as"),
        ('{"path": "a.png", "labels": {"x": 1}}\n', 1, "labels is a list such as"),
        ('{"path": "a.png", "target": NaN}\n', 1, "no finite number"),
        ('{"path": "a.png", "target": true}\n', 1, "no finite number"),
        ('{"path": "a.png", "target": ' + "9" * 400 + "}\n", 1, "no finite number"),
        ('{"path": "a.png", "target": ' + "9" * 5000 + "}\n", 1, "is not JSON"),
        ('{"path": "a.png", "target": null}\n', 1, "no finite number"),
        ('{"path": "a.png", "label": "x", "split": 1}\n', 1, "split is train, val or test, not 1"),
        ('{"path": "a.png", "label": "x", "split": "train"}\n{"path": "b.png", "label": "x"}', 2, "has no split, and"),
        ("\n\n", None, "has no rows"),
        ("", None, "has no rows"),
        (b"\x00\x01", 1, "it is a binary file"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_json_lines_is_named(root: Path, text: str | bytes, line: int | None, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read(root, text, "data.jsonl")
    place = str(root / "data.jsonl") + (f", line {line}" if line else "")
    assert place in str(caught.value)


def test_targets_whose_differences_float32_loses_are_refused(root: Path) -> None:
    with pytest.raises(DataError, match=r"line 3: target 1700000050 is 1700000000 in float32.*such as 1700000000"):
        read(root, "path,target\na.png,1700000000\nb.png,1700000050\n")
    for fine in ("0.1\nb.png,0.1", "1e30\nb.png,1.1e30", "0.1\nb.png,1700000001", "1700000000\nb.png,1700500000"):
        read(root, f"path,target\na.png,{fine}\n")


def test_missing_files_are_counted_and_the_first_ones_named(root: Path) -> None:
    (root / "folder.png").mkdir()
    rows = ["a.png", "folder.png", *(f"no{i}.png" for i in range(8))]
    with pytest.raises(DataError, match="9 of 10 files are not there") as caught:
        read(root, "path,label\n" + "".join(f"{name},x\n" for name in rows))
    lines = str(caught.value).splitlines()
    assert len(lines) == 7
    assert lines[1].strip() == f"{root / 'data.csv'}, line 3: {root / 'folder.png'}"
    assert lines[-1].strip() == "and 4 more"


def test_a_pipe_is_no_file(root: Path) -> None:
    os.mkfifo(root / "pipe.png")
    with pytest.raises(DataError, match="1 of 1 files are not there"):
        read(root, "path,label\npipe.png,x\n")


@pytest.mark.parametrize("link", ["file", "folder"])
def test_a_link_out_of_the_folder_is_refused(root: Path, link: str) -> None:
    write_images(root.parent, "elsewhere/a.png")
    name = "link.png" if link == "file" else "link/a.png"
    target = root.parent / ("elsewhere/a.png" if link == "file" else "elsewhere")
    (root / name.split("/")[0]).symlink_to(target)
    with pytest.raises(DataError, match=f"line 2: {name} is a link to a file outside"):
        read(root, f"path,label\n{name},x\n")


def test_files_of_neither_images_nor_sounds_are_refused(root: Path) -> None:
    (root / "notes.txt").write_text("x")
    with pytest.raises(DataError, match=r"line 2: notes.txt has not the ending of an image or a sound"):
        read(root, "path,label\nnotes.txt,x\n")


def test_images_and_sounds_do_not_mix(root: Path) -> None:
    (root / "s.wav").write_bytes(b"")
    with pytest.raises(DataError, match=r"has both: a.png \(.*line 2\) and s.wav \(.*line 3\)"):
        read(root, "path,label\na.png,x\ns.wav,x\n")


def test_a_table_of_a_split_in_a_folder_has_rows_of_that_split(root: Path) -> None:
    (root / "train.csv").write_text("path,label,split\na.png,x,train\nb.png,x,test\n")
    with pytest.raises(DataError, match="line 3 is of the split test, in the table of train"):
        open_tables(root, "csv")


def test_the_tables_of_a_folder_have_one_task(root: Path) -> None:
    (root / "train.csv").write_text("path,label\na.png,x\n")
    (root / "val.csv").write_text("path,target\nb.png,1\n")
    with pytest.raises(DataError, match=r"val.csv, line 2 has a target, and .*train.csv, line 2 a label"):
        open_tables(root, "csv")


def test_two_tables_of_one_split_are_refused(root: Path) -> None:
    for name in ("train", "val", "valid"):
        (root / f"{name}.csv").write_text("path,label\na.png,x\n")
    with pytest.raises(DataError, match=r"two tables of the split val, val.csv and valid.csv"):
        open_tables(root, "csv")


def test_a_folder_without_a_training_table_is_refused(root: Path) -> None:
    (root / "test.csv").write_text("path,label\na.png,x\n")
    with pytest.raises(DataError, match=r"has no train.csv: name the table itself"):
        open_tables(root, "csv")


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"Cannot read .*none.csv: no such file"):
        open_tables(tmp_path / "none.csv", "csv")
