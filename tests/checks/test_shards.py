"""Faults of WebDataset shards: each is named, and the other samples are checked nevertheless."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

import resnets
from tests.checks.scenes import problems, scene

Files = list[tuple[str, bytes]]


def jpeg(seed: int) -> bytes:
    file = io.BytesIO()
    scene(seed).save(file, "JPEG", quality=95)
    return file.getvalue()


def write_shard(path: Path, files: Files) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, data in files:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def labelled(count: int) -> Files:
    return [each for n in range(count) for each in ((f"{n}.jpg", jpeg(n)), (f"{n}.cls", b"cat" if n % 2 else b"dog"))]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESNETS_CACHE", str(tmp_path / "cache"))


def test_clean_shards_have_no_problem(tmp_path: Path) -> None:
    write_shard(tmp_path / "train-0.tar", labelled(6))
    for _ in range(2):  # without an index, and with one
        result = resnets.check(tmp_path)
        assert (result.problems, result.format) == ((), "webdataset")
        assert (dict(result.samples), dict(result.classes)) == ({"train": 6}, {"cat": 3, "dog": 3})


def test_every_fault_of_a_sample_is_named(tmp_path: Path) -> None:
    shard = write_shard(
        tmp_path / "train-0.tar",
        [
            *labelled(6),
            ("a.jpg", jpeg(10)),
            ("b.cls", b"cat"),
            ("c.jpg", jpeg(11)),
            ("c.cls", b" "),
            ("d.jpg", jpeg(12)[:900]),
            ("d.cls", b"cat"),
            ("e.jpg", b""),
            ("e.cls", b"cat"),
            ("f.jpg", jpeg(1)),
            ("f.cls", b"dog"),
            ("0.png", jpeg(13)),
        ],
    )
    more = write_shard(tmp_path / "train-1.tar", [("1.jpg", jpeg(14)), ("1.cls", b"cat")])
    val = write_shard(
        tmp_path / "val-0.tar",
        [("g.jpg", jpeg(0)), ("g.cls", b"dog"), ("h.jpg", jpeg(15)), ("h.cls", b"owl"), *labelled(9)[-4:]],
    )
    result = resnets.check(tmp_path)
    assert problems(result) == {
        ("error", "missing_annotation", f"{shard}/a.jpg"),
        ("warning", "orphan_annotation", f"{shard}/b.cls"),
        ("error", "bad_row", f"{shard}/c.cls"),
        ("error", "truncated", f"{shard}/d.jpg"),
        ("error", "empty_file", f"{shard}/e.jpg"),
        ("error", "label_conflict", f"{shard}/f.jpg"),
        ("error", "bad_row", f"{shard}/0.png"),
        ("error", "bad_row", f"{more}/1.jpg"),
        ("error", "split_leak", f"{val}/g.jpg"),
        ("error", "unknown_class", f"{val}/h.jpg"),
    }
    with pytest.raises(resnets.DataError):  # training refuses the first of them
        resnets.train("paper/cifar", data=str(tmp_path), out=tmp_path / "run")


def test_a_shard_that_is_cut_off_or_no_tar_file(tmp_path: Path) -> None:
    shard = write_shard(tmp_path / "train-0.tar", labelled(6))
    shard.write_bytes(shard.read_bytes()[: shard.stat().st_size // 2])
    other = tmp_path / "train-1.tar"
    other.write_bytes(b"no tar file" * 1000)
    result = resnets.check(tmp_path)
    found = {(each.kind, each.path) for each in result.problems if each.severity == "error"}
    assert {("truncated", str(shard)), ("unreadable", str(other))} <= found
    assert 0 < result.samples["train"] < 6


def test_without_decoding_the_same_bytes_are_found(tmp_path: Path) -> None:
    files = [*labelled(4), ("8.jpg", jpeg(1)), ("8.cls", b"cat"), ("9.jpg", jpeg(2)[:-40]), ("9.cls", b"cat")]
    path = write_shard(tmp_path / "train-0.tar", files)
    found = problems(resnets.check(path, fast=True))
    assert {"duplicate", "truncated"} <= {kind for _, kind, _ in found}
    assert "check_failed" not in {kind for _, kind, _ in found}


def test_an_image_whose_name_has_another_dot_is_named(tmp_path: Path) -> None:
    """WebDataset takes the ending to begin at the first dot."""
    odd = [("at 10.20.30.jpg", jpeg(9)), ("at 10.20.30.cls", b"cat")]
    more = [("1.depth.png", jpeg(8))]  # beside an image of that name
    path = write_shard(tmp_path / "a.tar", [*labelled(6), *odd, *more])
    (problem,) = [each for each in resnets.check(path).problems if each.severity == "error"]
    assert (problem.kind, problem.path) == ("bad_row", f"{path}/at 10.20.30.jpg")
    with pytest.raises(resnets.DataError, match="has a dot before its ending"):
        resnets.train("photos", data=str(path), out=tmp_path / "r")


def test_a_declared_class_without_a_sample_to_learn_from_is_named(tmp_path: Path) -> None:
    root = tmp_path / "shards"
    root.mkdir()
    (root / "classes.txt").write_text("cat\ndog\nhen\n")
    write_shard(root / "train-0.tar", labelled(6))
    write_shard(root / "val-0.tar", [("7.jpg", jpeg(7)), ("7.cls", b"hen"), ("8.jpg", jpeg(8)), ("8.cls", b"cat")])
    found = [each.detail for each in resnets.check(root, only="missing_class").problems]
    assert any("val has 1 sample of the class hen, and train has none" in each for each in found)
