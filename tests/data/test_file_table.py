"""The table of a folder's files and its cache."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from resnets.core.errors import DataError
from resnets.data import file_table, scan_cache
from resnets.data.file_table import FileTables, Records, read_records
from resnets.data.fingerprint import contents_sha256
from resnets.data.scan import scan
from resnets.modalities.image.datasets.folder import FolderDataset, read_classes
from resnets.modalities.image.preprocessing import Preprocessing
from resnets.modalities.image.read import headers
from resnets.modalities.image.remarks import REMARKS
from resnets.modalities.inputs import open_reader
from tests.conftest import break_middle, truncate, write_tree

SMALL = Preprocessing(resize=16, crop=12)
BIT = {remark: bit for bit, remark in enumerate(REMARKS)}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small folder of images, with a cache for folders of any size."""
    monkeypatch.setenv("RESNETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(scan_cache, "CACHED_FROM", 1)
    return write_tree(tmp_path / "data", {"cat": 5, "dog": 4})


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The files that are opened from here on."""
    paths: list[bytes] = []
    examine = headers.examine

    def counting(path: bytes) -> bytes:
        paths.append(os.path.basename(path))
        return examine(path)

    monkeypatch.setattr(headers, "examine", counting)
    return paths


def read(root: Path, save: bool = True) -> tuple[str, Records]:
    dataset, tables = read_classes(root, None, []), FileTables()
    (files,) = tables.of(dataset)
    digest = contents_sha256(dataset, tables)
    if save:
        tables.save()
    return digest, files.records


def test_a_file_is_opened_again_only_where_name_size_or_time_changed(root: Path, opened: list[bytes]) -> None:
    digest, records = read(root)
    assert len(opened) == 9
    opened.clear()
    assert read(root)[0] == digest
    assert (read(root)[1] == records).all()
    assert opened == []
    os.utime(root / "cat" / "3.png", ns=(0, 0))
    assert read(root)[0] == digest  # modification times only key the cache
    assert opened == [b"3.png"]
    opened.clear()
    info = (root / "dog" / "2.png").stat()
    (root / "dog" / "2.png").write_bytes((root / "dog" / "2.png").read_bytes() + b"x")
    os.utime(root / "dog" / "2.png", ns=(info.st_atime_ns, info.st_mtime_ns))
    assert read(root)[0] != digest
    assert opened == [b"2.png"]


def test_files_that_came_or_went_leave_the_others_in_the_cache(root: Path, opened: list[bytes]) -> None:
    before = read(root)[1]
    opened.clear()
    (root / "cat" / "0.png").unlink()
    shutil.copy2(root / "dog" / "1.png", root / "cat" / "9.png")
    digest, records = read(root)
    assert opened == [b"9.png"]
    assert (records[:4] == before[1:5]).all()
    assert digest == read(root, save=False)[0]
    opened.clear()
    # A file that is written anew under the same name and with the same content has another inode, and nothing else.
    content, info = (root / "cat" / "1.png").read_bytes(), (root / "cat" / "1.png").stat()
    (root / "cat" / "1.png").unlink()
    (root / "cat" / "1.png").write_bytes(content)
    os.utime(root / "cat" / "1.png", ns=(info.st_atime_ns, info.st_mtime_ns))
    assert read(root)[0] == digest
    assert opened == []


def damage_one_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "harm",
    [
        damage_one_bit,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:100]),
        lambda path: path.write_bytes(b"no cache" * 100),
        lambda path: path.unlink(),
        lambda path: (path.unlink(), path.mkdir()),
    ],
)
def test_a_damaged_cache_counts_as_none(root: Path, opened: list[bytes], harm: Callable[[Path], object]) -> None:
    digest, _ = read(root)
    (path,) = (root.parent / "cache").rglob("*.npz")
    harm(path)
    opened.clear()
    assert read(root)[0] == digest
    assert len(opened) == 9


def test_the_cache_can_be_turned_off_or_be_out_of_reach(
    root: Path, opened: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    digest, _ = read(root)
    monkeypatch.setenv(scan_cache.SWITCH, "off")
    opened.clear()
    assert read(root)[0] == digest
    assert len(opened) == 9
    monkeypatch.delenv(scan_cache.SWITCH)
    (root.parent / "file").write_bytes(b"")
    monkeypatch.setenv("RESNETS_CACHE", str(root.parent / "file"))
    assert read(root)[0] == digest


def test_several_may_use_the_cache_at_once(root: Path) -> None:
    digest, _ = read(root)
    wrong: list[str] = []

    def work() -> None:
        for _ in range(10):
            tables, dataset = FileTables(), read_classes(root, None, [])
            found = contents_sha256(dataset, tables)
            tables.settle(dataset, np.arange(3), {})
            scan_cache.save(os.path.abspath(root), dataset.files, tables.of(dataset)[0].records)
            wrong.extend([found] if found != digest else [])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert not list((root.parent / "cache").rglob("*.part"))


def test_processes_of_their_own_read_what_this_one_reads(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (files,), some = read_classes(root, None, []).on_disk, np.array([8, 0, 3, 4, 5])
    here = read_records(files, some)
    started: list[list[str]] = []
    run = subprocess.run

    def counting(argv: list[str], **options: Any) -> Any:
        started.append(argv)
        return run(argv, **options)

    monkeypatch.setattr(file_table, "_OWN_PROCESS", 2)
    monkeypatch.setattr(subprocess, "run", counting)
    assert (read_records(files, some) == here).all()
    assert started
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    assert (read_records(files, some) == here).all()


# --- scans ------------------------------------------------------------------------------------------------------------


def numbers_read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list that gets the number of every image whose file is read from now on."""
    numbers: list[int] = []
    encoded = FolderDataset.encoded

    def counting(self: FolderDataset, index: int) -> bytes | None:
        numbers.append(index)
        return encoded(self, index)

    monkeypatch.setattr(FolderDataset, "encoded", counting)
    return numbers


def test_a_scan_decodes_only_what_its_header_leaves_in_doubt(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    truncate(root / "cat" / "3.png")
    (root / "dog" / "1.png").write_bytes((root / "dog" / "1.png").read_bytes() + b"more")  # which decoders take
    break_middle(root / "dog" / "3.png")
    decoded = numbers_read(monkeypatch)
    for expected in ([3, 6], [3]):  # what was found readable need not be decoded again, what was not must
        tables = FileTables()
        found = scan(read_classes(root, None, []), open_reader(SMALL), keep=False, statistics=False, tables=tables)
        tables.save()
        assert list(found.damaged) == [3]
        assert str(root / "cat" / "3.png") in found.damaged[3]
        assert sorted(decoded) == expected
        decoded.clear()


def test_a_file_that_could_not_be_read_for_a_moment_is_found_again(root: Path) -> None:
    tables = FileTables()
    dataset = read_classes(root, None, [])
    gone = (root / "cat" / "3.png").rename(root.parent / "3.png")
    assert list(scan(dataset, open_reader(SMALL), keep=False, statistics=False, tables=tables).damaged) == [3]
    with pytest.raises(DataError, match=r"3\.png cannot be read"):
        contents_sha256(dataset, tables)
    tables.save()
    gone.rename(root / "cat" / "3.png")
    assert scan(dataset, open_reader(SMALL), keep=False, statistics=False).damaged == {}


def test_what_is_odd_about_images_is_counted_again_without_decoding_them(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clear = Image.new("RGBA", (20, 20), (10, 20, 30, 100))
    clear.save(root / "cat" / "0.png")
    clear.save(root / "dog" / "0.png")
    Image.fromarray(np.full((20, 20), 4000, np.uint16)).save(root / "dog" / "1.png")
    Image.new("RGBA", (20, 20), (10, 20, 30, 255)).save(root / "dog" / "2.png")
    decoded = numbers_read(monkeypatch)
    for expected in ([0, 5, 6, 7], []):
        tables = FileTables()
        found = scan(read_classes(root, None, []), open_reader(SMALL), keep=False, statistics=False, tables=tables)
        tables.save()
        assert found.remarks == {BIT["transparent"]: 2, BIT["dark"]: 1}
        assert sorted(decoded) == expected
        decoded.clear()
    assert scan(read_classes(root, None, []), open_reader(SMALL), keep=True, statistics=False).remarks == found.remarks
    for _ in range(2):
        assert (
            scan(read_classes(root, None, []), open_reader(SMALL), keep=False, statistics=True).remarks == found.remarks
        )


def test_statistics_are_decoded_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    truncate(root / "cat" / "3.png")
    dataset = read_classes(root, None, [])
    first = scan(dataset, open_reader(SMALL), keep=False, statistics=True)
    whole = scan(dataset, open_reader(SMALL), keep=True, statistics=True)
    decoded = numbers_read(monkeypatch)
    moved = root.rename(root.parent / "moved")
    for again in (
        scan(read_classes(moved, None, []), open_reader(SMALL), keep=False, statistics=True) for _ in range(2)
    ):
        assert again.mean is not None
        np.testing.assert_array_equal(again.mean, whole.mean)
        assert again.std == whole.std == first.std
        assert list(again.damaged) == [3]
        assert str(moved) in again.damaged[3]
    assert set(decoded) == {3}
    for path in (root.parent / "cache").rglob("*.npz"):
        damage_one_bit(path)
    assert scan(read_classes(moved, None, []), open_reader(SMALL), keep=False, statistics=True).std == first.std
    other = Preprocessing(resize=20, crop=12)
    assert scan(read_classes(moved, None, []), open_reader(other), keep=False, statistics=True).std != first.std
