"""Mistakes, damaged data and full disks: each is named in a line or two, and leaves nothing half done."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import resnets
from tests.command_line import COLORS, TINY, call, noisy, train, write_photos


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_photos(tmp_path_factory.mktemp("photos"), {"train": 12, "val": 5})


@pytest.fixture(scope="module")
def run(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(folder, tmp_path_factory.mktemp("runs") / "colors")


def break_folder(folder: Path, to: Path, what: str) -> Path:
    shutil.copytree(folder, to)
    if what == "empty class":
        (to / "train" / "violet").mkdir()
    elif what == "unreadable":
        (to / "train" / "red" / "broken.jpg").write_bytes((to / "train" / "red" / "0.jpg").read_bytes()[:300])
    return to


MISTAKES = [
    (["trian"], 2, "did you mean train"),
    ([], 2, "command is missing"),
    (["train", "digtis"], 2, "did you mean digits"),
    (["train", "--model", "resnet_18"], 2, "did you mean resnet18"),
    (["train", "optimizer.lrr=1"], 2, "did you mean lr"),
    (["train", "--modle", "x"], 2, "did you mean --model"),
    (["train", "--seed", "many"], 2, "invalid int"),
    (["train", "--device", "gpu0"], 2, "Choose auto"),
    (["train", "--data", "nowhere"], 1, "There is no dataset or folder 'nowhere'"),
    (["train", "--workers", "-1"], 2, "workers must be"),
    (["train", "nowhere/recipe.json"], 1, "Cannot read nowhere/recipe.json: no such file"),
    (["evaluate", "nowhere.safetensors"], 1, "There is no model file or run folder nowhere.safetensors"),
    (["predict", "nowhere.safetensors", "x.png"], 1, "There is no model file"),
    (["predict", "x"], 2, "at least one image"),
    (["describe", "resnet5000"], 2, "did you mean"),
    (["describe", "resnet50", "--size", "0"], 2, "from 1 to"),
]


@pytest.mark.parametrize(
    ("argv", "code", "message"), MISTAKES, ids=lambda a: " ".join(a) if isinstance(a, list) else ""
)
def test_a_mistake_is_answered_in_a_line_and_leaves_nothing(
    argv: list[str], code: int, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = call(*argv)
    assert result.code == code
    assert message in result.err
    assert len(result.err.strip().splitlines()) <= 2
    assert not result.out
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("what", "message"), [("empty class", "no images of violet"), ("unreadable", "broken.jpg is damaged")]
)
def test_bad_data_is_named_before_the_first_epoch(
    what: str, message: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = break_folder(folder, tmp_path / "bad", what)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    result = call("train", "paper/cifar", "--data", bad, *TINY)
    assert result.code == 1
    assert message in result.err
    assert "Traceback" not in result.err
    assert not list((tmp_path / "here").iterdir())


def test_damaged_training_images_can_be_left_out(folder: Path, tmp_path: Path) -> None:
    bad = break_folder(folder, tmp_path / "bad", "unreadable")
    argv = ["--data", bad, "--epochs", "1", "--out", tmp_path / "r", *TINY]
    result = call("train", "paper/cifar", "damaged=exclude", *argv)
    assert result.code == 0
    assert "1 training image cannot be read" in result.out


def test_damaged_test_images_are_counted_and_excluded(run: Path, folder: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad"
    shutil.copytree(folder, bad)
    (bad / "val" / "blue" / "0.jpg").write_bytes(b"no image")
    scores = call("evaluate", run, "--data", bad, "--json").json
    assert (scores["samples"], scores["excluded"]) == (14, 1)


def test_an_unreadable_image_to_predict_is_named(run: Path, tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    result = call("predict", run, tmp_path / "x.png")
    assert result.code == 1
    assert "x.png" in result.err


def test_readable_images_are_answered_and_the_others_named(run: Path, tmp_path: Path) -> None:
    names = [str(tmp_path / name) for name in ("a.png", "b.png", "c.png", "absent.png")]
    noisy(COLORS["red"], 1).save(names[0])
    (tmp_path / "b.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    noisy(COLORS["blue"], 1).save(names[2])
    alone = call("predict", run, names[0], names[2], "--json")
    assert (alone.code, alone.json["failed"]) == (0, [])
    mixed = call("predict", run, *names, "--json")
    assert mixed.code == 1
    assert mixed.json["predictions"] == alone.json["predictions"]
    assert [p["input"] for p in mixed.json["predictions"]] == [names[0], names[2]]
    assert [f["input"] for f in mixed.json["failed"]] == [names[1], names[3]]
    assert "damaged" in mixed.json["failed"][0]["error"]
    assert {k: mixed.json[k] for k in ("model", "task", "runtime")} == {
        "model": str(run), "task": "classification", "runtime": "torch",
    }  # fmt: skip
    shown = call("predict", run, *names)
    assert shown.code == 1
    assert [line for line in shown.out.splitlines() if not line.startswith(" ")] == [names[0], names[2]]
    assert "b.png" in shown.err
    assert "absent.png" in shown.err


def test_python_gets_the_answers_and_what_failed(run: Path, tmp_path: Path) -> None:
    images: list[Any] = [noisy(COLORS["red"], n) for n in range(70)]  # over two batches
    images[3] = images[66] = b"no image"
    with pytest.raises(resnets.PredictionError, match="2 of 70 inputs cannot be read") as caught:
        resnets.predict(run, *images, top=1)
    error = pickle.loads(pickle.dumps(caught.value))
    assert list(error.failed) == [3, 66]
    assert [n for n, ranking in enumerate(error.predictions) if ranking is None] == [3, 66]
    readable = [p for p in images if not isinstance(p, bytes)]
    assert [r for r in error.predictions if r is not None] == resnets.load(run).predict_many(readable, 1)
    assert all(e.__traceback__ is None for e in caught.value.failed.values())  # which would hold the decoded pixels
    with pytest.raises(resnets.DataError, match="not an image"):
        resnets.load(run).predict(b"no image")


def test_an_existing_run_is_not_overwritten(run: Path) -> None:
    before = (run / "log.jsonl").read_bytes()
    result = call("train", "--out", run)
    assert result.code == 2
    assert "already exists" in result.err
    assert (run / "log.jsonl").read_bytes() == before


def test_debug_shows_the_traceback() -> None:
    assert "Traceback" in call("train", "digtis", "--debug").err


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    mounted = os.name == "posix" and shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)], capture_output=True, check=False
    ).returncode == 0  # fmt: skip
    if not mounted:
        pytest.skip("needs the right to mount a small file system")
    yield place
    subprocess.run(["umount", str(place)], check=False)


def test_a_full_disk_is_named_and_leaves_nothing_half_written(folder: Path, small_disk: Path) -> None:
    out = small_disk / "r"
    result = call(
        "train", "paper/cifar", "--data", folder, "--epochs", "1", "--out", out, *TINY, "model.widths=[32,64]"
    )
    assert result.code == 1
    assert "no space left" in result.err
    assert len(result.err.strip().splitlines()) <= 2
    assert not (out / "model.safetensors").exists()
    assert not [p for p in out.iterdir() if p.name.endswith(".part")]
