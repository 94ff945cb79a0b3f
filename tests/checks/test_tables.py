"""Faults in tables: each row that cannot be used is named, and the others are checked nevertheless."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import resnets
from tests.checks.scenes import check, write_scenes
from tests.conftest import truncate

ROWS = [f"train/{name}/{number}.jpg,{name},train" for name in ("cat", "dog") for number in range(4)]
ROWS += [f"val/{name}/{number}.jpg,{name},val" for name in ("cat", "dog") for number in range(2)]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_scenes(tmp_path / "photos")


def table(root: Path, *more: str, header: str = "path,label,split", rows: list[str] = ROWS) -> Path:
    """Writes a table of all images, and of `more` rows, which begin at line 14."""
    path = root / "photos.csv"
    path.write_text("\n".join([header, *rows, *more]) + "\n")
    return path


def test_in_a_clean_table_nothing_is_wrong(root: Path) -> None:
    result = resnets.check(table(root))
    assert (result.problems, result.format) == ((), "csv")
    assert (dict(result.samples), dict(result.classes)) == ({"train": 8, "val": 4}, {"cat": 6, "dog": 6})


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("train/cat/9.jpg,,train", "empty label"),
        (",cat,train", "no path"),
        ("/train/cat/9.jpg,cat,train", "absolute"),
        ("../9.jpg,cat,train", "outside"),
        ("train/cat/9.jpg,cat,trian", "split is train, val or test"),
        ("train/cat/9.jpg,cat", "fields"),
    ],
)
def test_a_row_that_cannot_be_used_is_named_by_its_line(root: Path, row: str, reason: str) -> None:
    result = resnets.check(table(root, row))
    (problem,) = result.problems
    assert (problem.severity, problem.kind, problem.path) == ("error", "bad_row", str(root / "photos.csv"))
    assert "line 14" in problem.detail
    assert reason in problem.detail
    assert sum(result.samples.values()) == 12


def test_every_wrong_row_is_named(root: Path) -> None:
    result = resnets.check(table(root, "train/cat/9.jpg,,train", "train/cat/8.jpg,cat,train", ",,x"))
    assert len(result.of("bad_row")) == 1 + 3
    assert [problem.path for problem in result.of("missing_file")] == [str(root / "train" / "cat" / "8.jpg")]


def test_files_that_are_not_there_and_labels_that_train_has_not(root: Path) -> None:
    shutil.copy(root / "val" / "cat" / "0.jpg", root / "train" / "cat" / "leak.jpg")
    (root / "val" / "owl.jpg").write_bytes((root / "val" / "dog" / "1.jpg").read_bytes() + b"!")
    path = table(root, "gone.jpg,cat,train", "val/owl.jpg,owl,val", "train/cat/leak.jpg,cat,train")
    assert check(path) == {
        ("error", "missing_file", str(root / "gone.jpg")),
        ("error", "unknown_class", str(root / "val" / "owl.jpg")),
        ("error", "label_conflict", str(root / "val" / "owl.jpg")),
        ("error", "split_leak", str(root / "train" / "cat" / "leak.jpg")),
    }


def test_images_of_a_table_are_decoded(root: Path) -> None:
    truncate(root / "train" / "cat" / "1.jpg")
    assert check(table(root)) == {("error", "truncated", str(root / "train" / "cat" / "1.jpg"))}


def test_a_file_in_two_rows(root: Path) -> None:
    found = check(table(root, "train/cat/0.jpg,dog,val"))
    path = str(root / "train" / "cat" / "0.jpg")
    assert found == {("error", kind, path) for kind in ("bad_row", "split_leak", "label_conflict")}


def test_a_group_in_two_splits(root: Path) -> None:
    rows = [f"{row},{number % 4}{row.rpartition(',')[2]}" for number, row in enumerate(ROWS)]
    header = "path,label,split,group"
    assert check(table(root, header=header, rows=rows)) == set()
    rows[-1] = rows[-1].replace(rows[-1].rpartition(",")[2], "0train")
    (problem,) = resnets.check(table(root, header=header, rows=rows)).problems
    assert (problem.severity, problem.kind, problem.path) == (
        "error", "group_leak", str(root / "val" / "dog" / "1.jpg"),
    )  # fmt: skip
    assert str(root / "train" / "cat" / "0.jpg") in problem.related


def test_targets_that_are_no_numbers(root: Path) -> None:
    rows = [f"{row.split(',')[0]},{number},{row.split(',')[2]}" for number, row in enumerate(ROWS)]
    result = resnets.check(table(root, header="path,target,split", rows=rows))
    assert (result.problems, dict(result.classes)) == ((), {})
    rows[3] = "train/cat/3.jpg,many,train"
    (problem,) = resnets.check(table(root, header="path,target,split", rows=rows)).problems
    assert (problem.kind, "line 5" in problem.detail, "many" in problem.detail) == ("bad_row", True, True)


def test_several_labels(root: Path) -> None:
    rows = [row.replace(",dog,", ",dog;pet,") for row in ROWS]
    result = resnets.check(table(root, header="path,labels,split", rows=rows))
    assert (result.problems, dict(result.classes)) == ((), {"cat": 6, "dog": 6, "pet": 6})


def test_json_lines_and_tables_of_splits(root: Path) -> None:
    for split in ("train", "val"):
        rows = [row.split(",") for row in ROWS]
        lines = [json.dumps({"path": path, "label": label}) for path, label, own in rows if own == split]
        (root / f"{split}.jsonl").write_text("\n".join(lines))
    result = resnets.check(root, format="jsonl")
    assert (result.problems, dict(result.samples)) == ((), {"train": 8, "val": 4})
    with (root / "val.jsonl").open("a") as file:
        file.write('\n{"path": "val/cat/0.jpg"}\nno json\n')
    details = [problem.detail for problem in resnets.check(root, format="jsonl").of("bad_row")]
    assert len(details) == 2
    assert any("has no label" in detail for detail in details)
    assert any("not JSON" in detail and "not been checked" in detail for detail in details)


def test_a_table_without_labels_cannot_be_checked(root: Path) -> None:
    with pytest.raises(resnets.DataError, match="no column label"):
        resnets.check(table(root, header="path,kind,split"))


def test_classes_that_look_the_same(root: Path) -> None:
    path = table(root, rows=[row.replace("cat/0.jpg,cat", "cat/0.jpg,Cat") for row in ROWS], header="path,label,split")
    result = resnets.check(path)
    assert [problem.path for problem in result.of("name_collision")] == [str(root)]
    assert {problem.kind for problem in result.problems} == {"name_collision", "small_class"}


def test_a_group_in_two_splits_or_two_folds(root: Path) -> None:
    rows = [f"{row},{'a' if 'cat/0' in row else ''},{1 + number % 2}" for number, row in enumerate(ROWS)]
    path = table(root, header="path,label,split,group,fold", rows=rows)
    result = resnets.check(path)
    assert [(each.kind, each.path) for each in result.problems] == [("group_leak", str(root / "val" / "cat" / "0.jpg"))]
    assert "the group a has 2 samples, in train and val" in result.problems[0].detail
    rows = [f"{row},{row.rpartition('/')[0]},{1 + number % 2}" for number, row in enumerate(ROWS)]
    found = resnets.check(table(root, header="path,label,split,group,fold", rows=rows))
    assert {each.kind for each in found.problems} == {"group_leak"}
    assert len(found.problems) == 4
    assert all("in the folds 1 and 2" in each.detail for each in found.problems)


def test_groups_and_folds_that_training_refuses_are_named_by_their_lines(root: Path) -> None:
    path = root / "photos.jsonl"
    columns = ("path", "label", "split")
    rows: list[dict[str, object]] = [dict(zip(columns, row.split(","), strict=True), fold=1) for row in ROWS]
    rows[2] |= {"group": [1]}
    rows[3] |= {"fold": True}
    rows[4] |= {"group": 7.0}
    path.write_text("\n".join(map(json.dumps, rows)))
    result = resnets.check(path)
    assert [(each.kind, each.severity) for each in result.problems] == [("bad_row", "error")] * 2
    assert "line 3: group is a text or a whole number" in result.problems[0].detail
    assert "line 4: fold is a text or a whole number" in result.problems[1].detail
    rows = [{**row, "group": "", "fold": "" if number == 5 else "1"} for number, row in enumerate(rows)]
    path.write_text("\n".join(map(json.dumps, rows)))
    (problem,) = resnets.check(path).problems
    assert (problem.kind, problem.severity) == ("bad_row", "warning")
    assert "line 6 has no fold" in problem.detail


def test_several_labels_are_the_same_in_any_order(root: Path) -> None:
    copy = root / "train" / "cat" / "copy.jpg"
    shutil.copy(root / "train" / "cat" / "0.jpg", copy)
    rows = [f"train/{name}/{number}.jpg,{name}" for name in ("cat", "dog") for number in range(1, 4)]
    path = table(root, "train/cat/0.jpg,cat;dog", "train/cat/copy.jpg,dog;cat", header="path,labels", rows=rows)
    assert {each.kind for each in resnets.check(path, only="label_conflict,duplicate").problems} == {"duplicate"}
