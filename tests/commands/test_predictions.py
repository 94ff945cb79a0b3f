"""The files that `predict --out` writes: their names, their columns, and what cannot be written."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

import pytest

from resnets.commands.predictions import check_out, file_names, table
from resnets.core.errors import UsageError


@pytest.mark.parametrize(
    ("inputs", "names"),
    [
        (["a.jpg", "b.png"], ["a", "b"]),
        (["x/a.jpg", "y/a.jpg", "b.jpg"], ["x_a", "y_a", "b"]),
        (["p/x/a.jpg", "q/x/a.jpg"], ["p_x_a", "q_x_a"]),
        (["x/a.jpg", "y/A.jpg"], ["x_a", "y_A"]),  # on some file systems they are one
        (["x/a.jpg", "x/a.png"], ["x_a_1", "x_a_2"]),
        (["a.jpg", "a.jpg", "a_1.jpg"], ["a_2", "a_3", "a_1"]),
        ([b"bytes", b"bytes"], ["<bytes>_1", "<bytes>_2"]),
        (["/a.jpg", "/b/a.jpg"], ["a", "b_a"]),
        (["a.tar.gz", "", "..", "photo"], ["a.tar", "input", "..", "photo"]),
    ],
)
def test_names_of_files_are_those_of_the_inputs_and_no_two_alike(inputs: list[Any], names: list[str]) -> None:
    found = file_names(inputs)
    assert len({name.lower() for name in found}) == len(found)
    assert not any("/" in name for name in found)
    assert found == names


def test_a_table_has_a_row_for_each_prediction_and_a_column_for_each_place_of_a_class() -> None:
    ranked = [
        {"input": "a", "classes": [{"name": "cat", "probability": 0.75}, {"name": "dog", "probability": 0.25}]},
        {"input": "b", "image": "b", "classes": [{"name": "dog", "probability": 1.0}]},
    ]
    assert table(ranked) == (
        ("input", "class_1", "probability_1", "class_2", "probability_2"),
        [("a", "cat", 0.75, "dog", 0.25), ("b", "dog", 1.0, None, None)],
    )
    assert table([{"input": "a", "target": 1.5}]) == (("input", "target"), [("a", 1.5)])
    assert table([]) == (("input",), [])


def test_a_table_of_boxes_has_a_row_for_each_box() -> None:
    boxes = [
        {"name": "cat", "score": 0.75, "box": [1.0, 2, 3, 4], "mask": {"size": [5, 6], "counts": "a"}},
        {"name": "dog", "score": 0.5, "box": [0.0, 0, 1, 1]},
    ]
    assert table([{"input": "a", "boxes": boxes}, {"input": "b", "boxes": []}]) == (
        ("input", "class", "score", "x1", "y1", "x2", "y2", "mask"),
        [
            ("a", "cat", 0.75, 1, 2, 3, 4, '{"size": [5, 6], "counts": "a"}'),
            ("a", "dog", 0.5, 0, 0, 1, 1, None),
            ("b", None, None, None, None, None, None, None),
        ],
    )
    placed = [{"input": "a", "classes": [{"name": "cat", "probability": 0.5, "box": [1, 2, 3, 4]}]}]
    assert table(placed) == (("input", "class_1", "probability_1", "box_1"), [("a", "cat", 0.5, "[1, 2, 3, 4]")])


def test_what_answers_cannot_be_written_to_is_refused_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_out(None)
    for name in ("a.csv", "a.JSON", "folder", "missing/folder"):
        check_out(tmp_path / name)
    (tmp_path / "photo.jpg").touch()
    with pytest.raises(UsageError, match=r"photo\.jpg is a file: answers go to a \.csv"):
        check_out(tmp_path / "photo.jpg")
    (tmp_path / "runs.csv").mkdir()
    with pytest.raises(UsageError, match=r"runs\.csv is a folder"):
        check_out(tmp_path / "runs.csv")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"\.parquet needs pyarrow, which is not installed"):
        check_out(tmp_path / "a.parquet")


def test_names_that_are_not_utf8_go_into_parquet(tmp_path: Path) -> None:
    from pyarrow import parquet

    from resnets.commands.predictions import write_file

    write_file(tmp_path / "a.parquet", [{"input": os.fsdecode(b"gr\xf6.jpg"), "target": 1.0}], {})
    assert parquet.read_table(tmp_path / "a.parquet").to_pylist() == [{"input": "gr\\xf6.jpg", "target": 1.0}]
