"""Odd things in class folders: links in circles, links to nowhere, pipes."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from resnets.core.errors import DataError
from resnets.modalities.image.datasets.folder import open_folder
from resnets.modalities.listing import Listing
from tests.conftest import write_tree

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs links and pipes")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_tree(tmp_path / "photos", {"cat": 3, "cat/small": 1, "dog": 2})


def names(root: Path, name: str) -> list[str]:
    return [os.fsdecode(path) for path in Listing(root).files(name)]


CATS = ["cat/0.png", "cat/1.png", "cat/2.png", "cat/small/0.png"]


@pytest.mark.parametrize(
    "target",
    [
        pytest.param(".", id="itself"),
        pytest.param("..", id="the data"),
        pytest.param("../..", id="above the data"),
        pytest.param("small", id="a folder that is read already"),
    ],
)
def test_a_link_to_a_folder_that_is_read_already_is_not_followed(root: Path, target: str) -> None:
    (root / "cat" / "again").symlink_to(target)
    assert names(root, "cat") == CATS
    splits = open_folder(root)
    assert len(splits.train) == 6
    assert splits.notes == (
        f"{root}: links to folders that were read already were not followed (1): cat/again.",
    )  # fmt: skip


def test_folders_that_link_to_one_another_end(tmp_path: Path) -> None:
    root = tmp_path / "photos"
    write_tree(root, {f"cat/{number}": 1 for number in range(12)} | {"dog": 1})
    for one in range(12):
        for other in range(12):
            if one != other:  # 12! ways through
                (root / "cat" / str(one) / f"to{other}").symlink_to(f"../{other}")
    assert len(names(root, "cat")) == 12


def test_links_to_folders_elsewhere_are_followed_once(tmp_path: Path, root: Path) -> None:
    elsewhere = write_tree(tmp_path / "elsewhere", {"new": 2})
    (root / "cat" / "b").symlink_to(elsewhere / "new")
    (root / "cat" / "a").symlink_to(elsewhere)
    (root / "owl").symlink_to(elsewhere)
    assert names(root, "cat") == ["cat/0.png", "cat/1.png", "cat/2.png", "cat/a/new/0.png", "cat/a/new/1.png", CATS[3]]
    assert len(names(root, "owl")) == 2
    assert open_folder(root).train.classes == ("cat", "dog", "owl")


def test_very_deep_folders_are_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root / "dog")
    for _ in range(1200):
        os.mkdir("d")
        os.chdir("d")
    try:
        assert names(root, "dog") == ["dog/0.png", "dog/1.png"]
    finally:
        for _ in range(1200):
            os.chdir("..")
            os.rmdir("d")


@pytest.mark.parametrize("kind", ["pipe", "socket"])
@pytest.mark.parametrize("place", ["cat/odd.jpg", "odd.jpg"])
def test_a_pipe_is_named_and_never_opened(root: Path, monkeypatch: pytest.MonkeyPatch, place: str, kind: str) -> None:
    monkeypatch.chdir(root)
    if kind == "pipe":
        os.mkfifo(place)
    else:
        server = socket.socket(socket.AF_UNIX)
        server.bind(place)
        server.close()
    splits = open_folder(root)
    assert str(root / place) not in [splits.train.name(i) for i in range(len(splits.train))]
    assert splits.notes == (f"{root}: pipes, sockets and devices were left out (1): {place}.",)


@pytest.mark.parametrize("target", ["gone.jpg", "lost.jpg"], ids=["nowhere", "itself"])
@pytest.mark.parametrize("place", ["cat/lost.jpg", "lost.jpg"])
def test_a_link_that_leads_nowhere_is_named(root: Path, place: str, target: str) -> None:
    (root / place).symlink_to(target)
    splits = open_folder(root)
    assert len(splits.train) == 6
    assert splits.notes == (f"{root}: links that lead nowhere were left out (1): {place}.",)


def test_a_val_that_leads_nowhere_is_named(root: Path) -> None:
    data = root.parent / "parts"
    data.mkdir()
    root.rename(data / "train")
    (data / "val").symlink_to("gone")
    assert open_folder(data).notes == (f"{data}: links that lead nowhere were left out (1): val.",)


def test_links_to_files_are_images(root: Path) -> None:
    (root / "dog" / "linked.png").symlink_to("../cat/0.png")
    assert names(root, "dog") == ["dog/0.png", "dog/1.png", "dog/linked.png"]
    assert open_folder(root).notes == ()


def test_a_class_that_is_empty_but_for_what_was_left_out_says_so(root: Path) -> None:
    (root / "owl").mkdir()
    (root / "owl" / "a.jpg").symlink_to("gone.jpg")
    with pytest.raises(DataError, match=r"no images of owl: .*\n.*links that lead nowhere.*owl/a\.jpg"):
        open_folder(root)


def test_a_long_list_of_names_is_cut(root: Path) -> None:
    for number in range(11):
        (root / "cat" / f"{number:02}.jpg").symlink_to("gone.jpg")
    (note,) = open_folder(root).notes
    assert note.endswith("links that lead nowhere were left out (11): " + ", ".join(f"cat/{n:02}.jpg" for n in range(8))
                         + " and 3 more.")  # fmt: skip


def test_without_a_class_all_images_of_a_folder_are_listed(root: Path) -> None:
    assert names(root, "") == [*CATS, "dog/0.png", "dog/1.png"]
