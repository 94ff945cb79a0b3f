"""What stands for the inputs of a model: files, folders and globs."""

from __future__ import annotations

from pathlib import Path

import pytest

from resnets.artifacts.inputs import expand
from resnets.core.errors import DataError
from resnets.modalities.audio.log_mel import LogMel
from resnets.modalities.image.preprocessing import Preprocessing

IMAGES = Preprocessing()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("b/2.jpg", "b/1.PNG", "b/notes.txt", "b/deep/3.jpg", "c/4.jpg", "[1].jpg", "empty/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_folder_stands_for_the_images_in_it_and_below_it_sorted(folder: Path) -> None:
    assert expand(["b"], IMAGES) == ["b/1.PNG", "b/2.jpg", "b/deep/3.jpg"]
    assert expand([folder / "c", "b/notes.txt"], IMAGES) == [str(folder / "c" / "4.jpg"), "b/notes.txt"]


def test_of_a_folder_only_files_of_the_models_modality_are_taken(folder: Path) -> None:
    (folder / "b" / "5.WAV").touch()
    assert expand(["b"], LogMel()) == ["b/5.WAV"]
    with pytest.raises(DataError, match="There are no recordings in c"):
        expand(["c"], LogMel())


def test_a_glob_stands_for_what_it_matches(folder: Path) -> None:
    assert expand(["*/*.jpg"], IMAGES) == ["b/2.jpg", "c/4.jpg"]
    assert expand(["**/3.jpg", "b/d*"], IMAGES) == ["b/deep/3.jpg", "b/deep/3.jpg"]


def test_a_path_that_exists_is_no_glob_and_other_things_stay(folder: Path) -> None:
    assert expand(["[1].jpg", b"bytes", "missing.jpg"], IMAGES) == ["[1].jpg", b"bytes", "missing.jpg"]


@pytest.mark.parametrize(
    ("given", "message"),
    [("empty", "There are no images in empty, nor in the folders in it"), ("*.gif", r"Nothing matches \*\.gif")],
)
def test_where_nothing_is_found_it_is_said_what_was_looked_for(given: str, message: str, folder: Path) -> None:
    with pytest.raises(DataError, match=message):
        expand(["b/2.jpg", given], IMAGES)


def test_paths_in_a_list_are_inputs_of_their_own(folder: Path) -> None:
    assert expand([["b/2.jpg", Path("c")], ("[1].jpg",)], IMAGES) == ["b/2.jpg", "c/4.jpg", "[1].jpg"]
