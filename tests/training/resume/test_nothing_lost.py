"""What `resume` cannot read or does not understand is neither changed nor taken for damaged."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import resnets
from resnets.cli import main
from resnets.core.errors import FileError
from resnets.training import checkpoint
from resnets.training.checkpoint import TrainState
from resnets.training.checkpoint_writer import Writer
from tests.training.resume.conftest import content
from tests.training.runs import curve, events, sha_of


def refuse(monkeypatch: pytest.MonkeyPatch, which: Callable[[Path], bool], number: int) -> None:
    """Lets reading of some files fail as the system would."""
    read = Path.read_bytes

    def failing(path: Path) -> bytes:
        if which(path):
            raise OSError(number, os.strerror(number), str(path))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", failing)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.ESTALE])
@pytest.mark.parametrize("ending", [".json", ".safetensors"])
def test_a_checkpoint_that_cannot_be_read_just_now_ends_the_resume_and_stays(
    number: int, ending: str, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = content(run)
    refuse(monkeypatch, lambda path: path.name.startswith("step-") and path.suffix == ending, number)
    with pytest.raises(FileError, match=r"Cannot read .*step-.*Nothing was changed.*train anew: resnets train"):
        resnets.resume(run)
    monkeypatch.undo()
    assert content(run) == before
    resnets.resume(run)


def test_only_the_newest_unreadable_still_ends_the_resume(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    newest = checkpoint.steps(run / "checkpoint")[0]
    before = content(run)
    refuse(monkeypatch, lambda path: path.name == f"step-{newest:09}.safetensors", errno.EIO)
    with pytest.raises(FileError, match="input/output error"):
        resnets.resume(run)
    monkeypatch.undo()
    assert content(run) == before


def test_a_folder_of_checkpoints_that_cannot_be_listed_ends_the_resume(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = content(run)
    listdir = os.listdir

    def failing(path: Any = ".") -> list[str]:
        if Path(path).name == "checkpoint":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return listdir(path)

    monkeypatch.setattr(os, "listdir", failing)
    with pytest.raises(FileError, match="permission denied"):
        resnets.resume(run)
    monkeypatch.undo()
    assert content(run) == before


def test_a_folder_in_place_of_a_checkpoint_is_no_damage(run: Path) -> None:
    newest = checkpoint.steps(run / "checkpoint")[0]
    path = run / "checkpoint" / f"step-{newest:09}.json"
    path.unlink()
    path.mkdir()
    before = content(run)
    with pytest.raises(FileError, match="is a directory"):
        resnets.resume(run)
    assert content(run) == before
    assert path.is_dir()


@pytest.mark.parametrize("version", [2, 99, "1", None, 1.5, True])
def test_a_checkpoint_of_another_format_is_refused_and_stays(version: Any, run: Path) -> None:
    newest = checkpoint.steps(run / "checkpoint")[0]
    path = run / "checkpoint" / f"step-{newest:09}.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": version}))
    before = content(run)
    with pytest.raises(FileError, match="resume with the version that wrote it"):
        resnets.resume(run)
    assert content(run) == before


def test_where_all_checkpoints_are_damaged_nothing_is_begun_anew(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (run / "checkpoint").glob("step-*.safetensors"):
        path.write_bytes(b"damaged")
    before = content(run)
    assert main(["resume", str(run)]) == 1
    shown = capsys.readouterr().err
    assert "None of the" in shown
    assert f"resnets train {run / 'recipe.json'} --out FOLDER" in shown
    assert content(run) == before


def test_a_writer_removes_what_was_found_damaged_and_nothing_else(tmp_path: Path) -> None:
    def write(step: int, damaged: tuple[int, ...] = ()) -> None:
        writer = Writer(tmp_path, keep=1, damaged=damaged)
        writer.write({"x": torch.zeros(1)}, TrainState(step=step, log_bytes=0, seconds=0, recipe_sha256=""))
        writer.wait()

    write(30)
    write(20)
    (tmp_path / "step-000000050.json").write_text('{"format": 7}')
    (tmp_path / ".step-notes.part").mkdir()
    others = ["step-5.json", "step-²²²²²²²²².json", "step-000000001.json.bak"]
    for name in others:
        (tmp_path / name).write_text("somebody's")
    write(10)
    assert checkpoint.steps(tmp_path) == [50, 30, 20, 10]
    write(11, damaged=(20,))
    assert checkpoint.steps(tmp_path) == [50, 30, 11]
    assert all((tmp_path / name).exists() for name in others)


@pytest.mark.parametrize("kind", ["symbolic", "hard"])
def test_a_log_that_is_a_link_to_elsewhere_is_not_cut(kind: str, run: Path, tmp_path: Path) -> None:
    log, elsewhere = run / "log.jsonl", tmp_path / "elsewhere.jsonl"
    elsewhere.write_bytes(log.read_bytes() + b'{"event": "step", "step": 99, "epoch": 9, "loss": 1}\n')
    before = elsewhere.read_bytes()
    log.unlink()
    (os.symlink if kind == "symbolic" else os.link)(elsewhere, log)
    resnets.resume(run)
    assert elsewhere.read_bytes() == before
    assert not log.is_symlink()
    steps = [e["step"] for e in events(run) if e["event"] == "step"]
    assert steps == sorted(set(steps))
    assert steps[-1] == 20


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with a name")
def test_a_pipe_in_place_of_the_log_is_not_waited_for(run: Path) -> None:
    (run / "log.jsonl").unlink()
    os.mkfifo(run / "log.jsonl")
    with pytest.raises(FileError, match="not a regular file"):
        resnets.resume(run)


def test_a_log_shorter_than_the_checkpoint_says_is_refused_and_one_that_is_gone_begins_anew(
    run: Path, unfinished: Path, tmp_path: Path
) -> None:
    log = run / "log.jsonl"
    log.write_bytes(log.read_bytes()[:100])
    before = content(run)
    with pytest.raises(FileError, match=r"100 bytes of the .* Put a copy back, or remove it"):
        resnets.resume(run)
    assert content(run) == before
    log.unlink()
    received: list[dict[str, Any]] = []
    resnets.resume(run, subscribers=(received.append,))
    assert any("The log was gone" in note for note in received[0]["notes"])
    assert next(e["event"] for e in events(run)) == "start"
    expected = Path(shutil.copytree(unfinished, tmp_path / "other"))
    resnets.resume(expected)
    assert sha_of(run) == sha_of(expected)
    assert curve(run) == [c for c in curve(expected) if c[1] >= curve(run)[0][1]]
