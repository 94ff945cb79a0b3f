"""A run goes on from another folder, with moved data, and has a folder of its own."""

from __future__ import annotations

import json
import shutil
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import resnets
from resnets.core.errors import DataError, FileError
from resnets.training.plan import read_plan
from resnets.training.run_folder import new_run_folder
from tests.training.continued.conftest import TINY, trained
from tests.training.cut import Cut, cut_after
from tests.training.runs import curve, sha_of


def test_a_run_goes_on_from_another_folder(
    data: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(data.parent)
    cut_after(data.name, tmp_path / "r", 10, *TINY, epochs=2)
    assert json.loads((tmp_path / "r" / "recipe.json").read_text())["recipe"]["data"] == data.name
    monkeypatch.chdir(tmp_path)
    resnets.resume(tmp_path / "r")
    assert sha_of(tmp_path / "r") == sha_of(whole)
    assert resnets.replay("r", step=20).step == 20
    assert resnets.evaluate("r").metrics["loss"] == resnets.evaluate(whole).metrics["loss"]
    again = resnets.train(str(tmp_path / "r" / "recipe.json"), out=tmp_path / "again")
    assert sha_of(again.folder) == sha_of(whole)


def test_a_dataset_with_a_name_is_no_folder_of_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("digits").mkdir()

    def stop(event: dict[str, Any]) -> None:
        if event.get("step", 0) >= 2:
            raise Cut

    with pytest.raises(Cut):
        resnets.train("digits", *TINY, "steps=4", out="r", checkpoint_steps=1, subscribers=(stop,))
    assert read_plan(Path("r/recipe.json")).data_path is None
    resnets.resume("r", data="digits")
    assert resnets.resume("r").was_finished


def test_data_that_moved_is_given_and_remembered(data: Path, whole: Path, tmp_path: Path) -> None:
    first = Path(shutil.copytree(data, tmp_path / "first"))
    cut_after(first, tmp_path / "r", 10, *TINY, epochs=2)
    moved = first.rename(tmp_path / "moved")
    with pytest.raises(DataError, match="no dataset or folder"):
        resnets.resume(tmp_path / "r")
    other = Path(shutil.copytree(moved, tmp_path / "other"))
    (other / "train" / "class0" / "000.png").unlink()
    with pytest.raises(DataError, match="say where they are now with --data"):
        resnets.resume(tmp_path / "r", data=str(other))
    assert read_plan(tmp_path / "r" / "recipe.json").data == str(first)

    def stop(event: dict[str, Any]) -> None:
        if event.get("step", 0) >= 15:
            raise Cut

    with pytest.raises(Cut):
        resnets.resume(tmp_path / "r", data=str(moved), subscribers=(stop,))
    assert read_plan(tmp_path / "r" / "recipe.json").data == str(moved)
    resnets.resume(tmp_path / "r")  # it knows by now
    assert sha_of(tmp_path / "r") == sha_of(whole)
    assert curve(tmp_path / "r") == curve(whole)


def test_a_recipe_file_of_an_earlier_version_resumes_and_has_the_hash_that_it_had(
    data: Path, whole: Path, tmp_path: Path
) -> None:
    cut_after(data, tmp_path / "r", 10, *TINY, epochs=2)
    path = tmp_path / "r" / "recipe.json"
    saved = read_plan(path)
    described = json.loads(path.read_text())
    for name in ("data_path", "extensions"):
        del described[name]
    path.write_text(json.dumps(described))
    assert read_plan(path).sha256 == saved.sha256
    assert replace(saved, data_path="/x", trackers=("tensorboard",), extensions=(3.0,)).sha256 == saved.sha256
    resnets.resume(tmp_path / "r")
    assert sha_of(tmp_path / "r") == sha_of(whole)


def test_two_processes_without_a_folder_claim_different_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    barrier = threading.Barrier(8)
    claimed: list[Path] = []

    def claim() -> None:
        barrier.wait()
        claimed.append(new_run_folder(None, "a/b").path)

    threads = [threading.Thread(target=claim) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(path.name for path in claimed) == sorted(["a-b", *(f"a-b-{i}" for i in range(2, 9))])
    assert all(path.is_dir() for path in claimed)
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    Path("runs").write_text("in the way")
    with pytest.raises(FileError, match="Cannot make a folder in runs"):
        new_run_folder(None, "a")


def test_a_run_that_does_not_begin_leaves_its_name_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError):
        trained(tmp_path / "none", None)
    assert not Path("runs").exists()


# --epochs +N


def test_data_that_is_not_where_it_was_said_is_refused(data: Path, tmp_path: Path) -> None:
    cut_after(data, tmp_path / "r", 10, *TINY, epochs=2)
    recorded = (tmp_path / "r" / "recipe.json").read_bytes()
    with pytest.raises(DataError, match=r"There is no dataset or folder '.*nowhere'"):
        resnets.resume(tmp_path / "r", data=str(tmp_path / "nowhere"))
    assert (tmp_path / "r" / "recipe.json").read_bytes() == recorded
