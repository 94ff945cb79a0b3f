"""Files are written whole or not at all, and read with errors that a person can act on."""

from __future__ import annotations

import csv
import errno
import itertools
import json
import math
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnets.core.errors import FileError
from resnets.core.files import read_json, replacing, to_json, write_bytes, write_csv, write_json


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KiB, where this user may mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if not sys.platform.startswith("linux"):
        pytest.skip("tmpfs is Linux's")
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(disk)], capture_output=True)
    if mount.returncode:
        pytest.skip("this user may not mount a small disk")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def assert_old_file_alone(path: Path, caught: pytest.ExceptionInfo[FileError]) -> None:
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]
    assert "\n" not in str(caught.value)
    assert f"Cannot write {path}: no space left on device." == str(caught.value)


def test_an_exception_on_the_way_leaves_the_old_file_and_no_temporary(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"old")

    def interrupted() -> None:
        with replacing(path) as temporary:
            temporary.write_bytes(b"half of the n")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_the_old_file_and_says_so_in_one_line(small_disk: Path) -> None:
    path = small_disk / "weights"
    path.write_bytes(b"old")
    with pytest.raises(FileError) as caught:
        write_bytes(path, bytes(200_000))
    assert_old_file_alone(path, caught)


def test_a_disk_that_turns_out_full_at_the_flush_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "weights"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FileError) as caught:
        write_bytes(path, b"new")
    assert_old_file_alone(path, caught)


def test_nothing_but_the_new_file_is_left_and_its_folders_are_made(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "first" / "recipe.json"
    for data in (b"one", b"a longer two", b"3"):
        write_bytes(path, data)
        assert path.read_bytes() == data
    assert list(path.parent.iterdir()) == [path]


def test_a_file_gets_the_permissions_of_any_other_new_file(tmp_path: Path) -> None:
    write_bytes(tmp_path / "ours", b"")
    (tmp_path / "theirs").touch()
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "theirs").stat().st_mode


def test_a_reader_meets_only_whole_files_while_others_are_written(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    seen: set[bytes] = set()
    write_bytes(path, b"0" * 200_000)
    done = threading.Event()

    def write() -> None:
        for digit in itertools.cycle(b"0123456789"):
            if done.is_set():
                return
            write_bytes(path, bytes([digit]) * 200_000)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        while len(seen) < 10:
            data = path.read_bytes()
            assert data == data[:1] * 200_000
            seen.add(data[:1])
    finally:
        done.set()
        writer.join()


@pytest.mark.parametrize("place", ["a folder", "below a file"])
def test_a_place_that_cannot_be_written_is_named(place: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    path = tmp_path if place == "a folder" else tmp_path / "file" / "recipe.json"
    with pytest.raises(FileError, match=f"Cannot write {path}: "):
        write_json(path, {})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@settings(max_examples=30, deadline=None)
@given(JSON)
def test_json_comes_back_as_it_went(tmp_path_factory: pytest.TempPathFactory, value: Any) -> None:
    path = tmp_path_factory.mktemp("json") / "value.json"
    write_json(path, value)
    assert read_json(path) == value == json.loads(path.read_text("utf-8"))


def test_names_that_are_not_utf8_survive_in_a_file_that_is(tmp_path: Path) -> None:
    path = tmp_path / "classes.json"
    names = ["Größe", "猫", os.fsdecode(b"gr\xf6\xdfe")]
    write_json(path, names)
    path.read_bytes().decode("utf-8")
    assert read_json(path) == names
    assert "猫" in path.read_text("utf-8")


@pytest.mark.parametrize(
    "damage",
    [b"", b"{", b'{"a": 1', b"{} {}", b"\xff\xfe\x00", b"[" * 100_000, b"9" * 10_000, b'{"a": nothing}'],
    ids=["empty", "open", "cut", "two values", "no text", "deep", "long number", "no value"],
)
def test_damaged_json_is_a_file_error_that_names_the_file(damage: bytes, tmp_path: Path) -> None:
    path = tmp_path / "recipe.json"
    path.write_bytes(damage)
    with pytest.raises(FileError, match=f"{path} is not valid JSON") as caught:
        read_json(path)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder_are_file_errors_that_name_the_path(tmp_path: Path) -> None:
    missing = tmp_path / "Recipe.json"
    with pytest.raises(FileError, match=f"^Cannot read {missing}: no such file or directory.$"):
        read_json(missing)
    with pytest.raises(FileError, match=f"^Cannot read {tmp_path}: is a directory.$"):
        read_json(tmp_path)


def test_json_is_ascii_without_nan_and_keeps_every_name() -> None:
    value = {
        "nan": math.nan, "in": {"a": [math.inf, (-math.inf, 1.5)]}, "numpy": np.float32(math.nan), "count": np.int64(3),
        "array": np.array([1.0, math.nan]), "path": Path("a"), "name": os.fsdecode(b"\xff"), "猫": True, "none": None,
    }  # fmt: skip
    text = to_json(value)
    assert text.isascii()
    found = json.loads(text, parse_constant=lambda name: pytest.fail(name))
    assert found == {
        "nan": None, "in": {"a": [None, [None, 1.5]]}, "numpy": None, "count": 3, "array": [1.0, None], "path": "a",
        "name": os.fsdecode(b"\xff"), "猫": True, "none": None,
    }  # fmt: skip
    with pytest.raises(TypeError):
        to_json(object())


def test_json_with_a_key_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"recipe": {"batch": 8, "batch": 16}}')
    with pytest.raises(FileError, match="'batch' occurs twice"):
        read_json(tmp_path / "a.json")


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1"])
def test_a_text_that_is_a_formula_is_none_in_csv_and_numbers_stay(name: str, tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", [("name", "x"), (name, -1.5), ('a,"b"\nc=1', 3)])
    with open(tmp_path / "a.csv", encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == [["name", "x"], ["'" + name.replace("\r", "\\r"), "-1.5"], ['a,"b"\nc=1', "3"]]


def test_a_file_whose_name_is_as_long_as_names_can_be_is_written(tmp_path: Path) -> None:
    path = tmp_path / ("猫" * 85)  # 255 bytes
    write_bytes(path, b"x")
    assert path.read_bytes() == b"x"
    with pytest.raises(FileError, match="猫: file name too long"):
        write_bytes(tmp_path / ("猫" * 86), b"x")
