"""Shards of WebDataset: the same images as in folders and in a table, and what is wrong with shards."""

from __future__ import annotations

import csv
import io
import json
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from resnets.core.errors import DataError
from resnets.modalities import shard_scan, shards
from resnets.modalities.catalog import find_format, open_dataset
from tests.command_line import TINY, call, write_photos
from tests.conftest import truncate
from tests.training.run_split.conftest import split_of
from tests.training.runs import sha_of

TRAIN = ["train", "paper/cifar", "--epochs", 2, "--device", "cpu", *TINY]


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("RESNETS_CACHE", str(folder))
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten images of each of three colours."""
    return write_photos(tmp_path_factory.mktemp("data") / "photos", {"": 10})


def write_shard(path: Path, files: Iterable[tuple[str, bytes]], format: int = tarfile.PAX_FORMAT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=format) as tar:
        for name, content in files:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def write_shards(photos: Path, root: Path, labels: str = ".cls", count: int = 3) -> Path:
    """The images in `count` shards, in random order, each followed by its label."""
    images = sorted(photos.glob("*/*.jpg"))
    order = np.random.default_rng(0).permutation(len(images))
    for number in range(count):
        files = []
        for index in order[number::count]:
            name = images[index].relative_to(photos).as_posix()
            label = name.partition("/")[0]
            text = json.dumps({"label": label, "width": 24}) if labels == ".json" else label + "\n"
            files += [(name.removesuffix(".jpg") + labels, text.encode()), (name, images[index].read_bytes())]
        write_shard(root / f"{number:03}.tar", files, tarfile.GNU_FORMAT if number else tarfile.PAX_FORMAT)
    return root


def write_table(photos: Path) -> Path:
    names = sorted(path.relative_to(photos).as_posix() for path in photos.glob("*/*.jpg"))
    with open(photos / "table.csv", "w", newline="") as file:
        csv.writer(file).writerows([("path", "label"), *((name, name.partition("/")[0]) for name in names)])
    return photos / "table.csv"


def test_the_same_images_as_folders_a_table_and_shards_give_the_same_weights(photos: Path, tmp_path: Path) -> None:
    forms = {"folders": photos, "shards": write_shards(photos, tmp_path / "shards")}
    forms["json"] = write_shards(photos, tmp_path / "json", ".json", count=1)
    for name, data in forms.items():
        assert call(*TRAIN, "--data", data, "--out", tmp_path / f"{name}-run").code == 0
    assert call(*TRAIN, "--data", write_table(photos), "--out", tmp_path / "table-run").code == 0
    (photos / "table.csv").unlink()
    runs = [tmp_path / f"{name}-run" for name in (*forms, "table")]
    assert len({sha_of(run) for run in runs}) == 1
    assert all(split_of(run) == split_of(runs[0]) for run in runs)
    own = call("evaluate", tmp_path / "shards-run", "--json").json
    assert (own["split"], own["accuracy"]) == ("val", call("evaluate", runs[0], "--json").json["accuracy"])
    assert call("resume", tmp_path / "shards-run", "--epochs", "+1").code == 0


def test_shards_are_read_once_and_then_from_the_cache(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_shards(photos, tmp_path / "shards")
    first = open_dataset(str(root)).train
    scanned: list[Path] = []
    scan = shard_scan.scan_shard

    def counted(shard: Path, *more: Any) -> shard_scan.ShardPart:
        scanned.append(shard)
        return scan(shard, *more)

    monkeypatch.setattr(shards, "scan_shard", counted)
    again = open_dataset(str(root)).train
    assert scanned == []
    assert [again.key(index) for index in range(30)] == [first.key(index) for index in range(30)]
    assert [again.encoded(index) for index in range(30)] == [first.encoded(index) for index in range(30)]
    write_shard(root / "001.tar", [("red/x.jpg", (photos / "red" / "0.jpg").read_bytes()), ("red/x.cls", b"red")])
    assert b"red/x.jpg" in {open_dataset(str(root)).train.key(index) for index in range(21)}
    assert scanned == [root / "001.tar"]


def test_the_format_is_found_and_samples_are_those_of_the_folder(photos: Path, tmp_path: Path) -> None:
    root = write_shards(photos, tmp_path / "shards")
    assert [find_format(root), find_format(root / "000.tar")] == ["webdataset", "webdataset"]
    ours, theirs = open_dataset(str(root)).train, open_dataset(str(photos)).train
    assert ours.classes == theirs.classes
    assert ours.targets["labels"].tolist() == theirs.targets["labels"].tolist()
    for index in range(len(theirs)):
        assert (ours.key(index), ours.encoded(index)) == (theirs.key(index), theirs.encoded(index))
    assert ours.name(0).endswith(".tar/blue/0.jpg")
    one = open_dataset(str(root / "000.tar")).train
    assert len(one) == 10


@pytest.mark.parametrize("layout", ["{split}/0.tar", "flowers-{split}-0001.tar"])
def test_splits_are_in_folders_or_in_the_names_of_shards(photos: Path, tmp_path: Path, layout: str) -> None:
    image = (photos / "red" / "0.jpg").read_bytes()
    for split, count in {"train": 4, "validation": 3, "test": 2}.items():
        files = [each for n in range(count) for each in ((f"{n}.JPG", image), (f"{n}.cls", f"{n % 2}".encode()))]
        write_shard(tmp_path / layout.format(split=split), files)
    splits = open_dataset(str(tmp_path))
    assert {name: len(each) for name, each in splits.splits.items()} == {"train": 4, "val": 3, "test": 2}
    assert splits.train.classes == ("0", "1")
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    assert open_dataset(str(tmp_path)).train.classes == ("cat", "dog")


JPEG = b"\xff\xd8\xff\xd9"


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ([("a.jpg", JPEG), ("a.cls", b"x"), ("b.jpg", JPEG)], "no label of b.jpg: put it into b.cls"),
        ([("a.jpg", JPEG), ("a.png", JPEG), ("a.cls", b"x")], "two images of one sample, a.jpg and a.png"),
        ([("a.jpg", JPEG), ("a.cls", b" ")], "a.cls in .* holds no label"),
        ([("a.jpg", JPEG), ("a.json", b'{"caption": "x"}')], "a.json in .* holds no label"),
        ([("a.jpg", JPEG), ("a.json", b"{")], "a.json in .* holds no label"),
        ([("a.mp4", JPEG), ("a.cls", b"x")], "holds no images"),
    ],
)
def test_samples_that_are_not_whole_are_named(tmp_path: Path, files: list[tuple[str, bytes]], reason: str) -> None:
    write_shard(tmp_path / "0.tar", files)
    with pytest.raises(DataError, match=reason):
        open_dataset(str(tmp_path), "webdataset")


def test_one_name_in_two_shards_is_refused(tmp_path: Path) -> None:
    for number in range(2):
        write_shard(tmp_path / f"{number}.tar", [("a.jpg", JPEG), ("a.cls", b"x")])
    with pytest.raises(DataError, match=r"a\.jpg is twice in the shards, in .*0\.tar and .*1\.tar"):
        open_dataset(str(tmp_path))


def test_shards_that_are_cut_off_or_compressed_are_refused(photos: Path, tmp_path: Path) -> None:
    root = write_shards(photos, tmp_path / "shards")
    truncate(root / "001.tar")
    with pytest.raises(DataError, match=r"001\.tar"):
        open_dataset(str(root))
    with tarfile.open(root / "001.tar", "w:gz") as tar:
        tar.add(photos / "red", "red")
    with pytest.raises(DataError, match=r"001\.tar cannot be read as a tar file.*compressed"):
        open_dataset(str(root))


def test_a_tar_of_images_without_labels_is_an_archive(photos: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "photos.tar", "w") as tar:
        tar.add(photos, "photos")
    with pytest.raises(DataError, match=r"is an archive\. Unpack it"):
        open_dataset(str(tmp_path / "photos.tar"))


def test_damaged_images_in_shards_are_named_before_the_first_step(photos: Path, tmp_path: Path) -> None:
    root = write_shards(photos, tmp_path / "shards")
    whole = (photos / "red" / "0.jpg").read_bytes()
    write_shard(root / "009.tar", [("red/cut.jpg", whole[: len(whole) // 2]), ("red/cut.cls", b"red")])
    result = call(*TRAIN, "--data", root, "--out", tmp_path / "r", "normalize=given")
    assert result.code == 1
    assert "009.tar/red/cut.jpg" in result.err
    kept = call(*TRAIN, "--data", root, "--out", tmp_path / "r", "normalize=given", "damaged=exclude", "--json")
    assert kept.code == 0
    assert "1 training image cannot be read and left out" in kept.err or kept.json["excluded"] == 1
