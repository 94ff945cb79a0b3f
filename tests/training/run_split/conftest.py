"""A run on a plain folder of classes, of which some images are held out, and what it is scored by."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import resnets
from resnets.cli import main

TINY = ["model.depths=[1,1]", "model.widths=[8,16]", "model.stem_width=8", "precision=fp32", "preprocessing.resize=16",
        "preprocessing.crop=16", "batch=8"]  # fmt: skip


def add(folder: Path, *numbers: int) -> None:
    """Adds images of noise to a class folder, the lighter the longer the class's name."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        pixels = np.random.default_rng([number, len(folder.name)]).integers(0, 40 * len(folder.name), (20, 20, 3))
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number:03}.png")


def train(data: Path, out: Path, *more: str) -> Path:
    argv = ["train", "paper/cifar", "--data", data, "--out", out, "--epochs", "1", "--device", "cpu", *TINY, *more]
    assert main([str(word) for word in argv]) == 0
    return out


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data") / "photos"
    for name in ("cat", "horse"):
        add(root / name, *range(20))
    return root


@pytest.fixture(scope="session")
def plain_run(plain: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(plain, tmp_path_factory.mktemp("runs") / "r")


@pytest.fixture
def copies(plain: Path, plain_run: Path, tmp_path: Path) -> tuple[Path, Path]:
    """The run and its data, to change."""
    data, run = tmp_path / "photos", tmp_path / "run"
    shutil.copytree(plain, data)
    shutil.copytree(plain_run, run)
    recipe = json.loads((run / "recipe.json").read_text())
    recipe["recipe"]["data"] = str(data)
    (run / "recipe.json").write_text(json.dumps(recipe))
    return run, data


def split_of(run: Path) -> tuple[set[str], set[str]]:
    """The images, from the data's root, that the run's record has as trained on and as held out."""
    with gzip.open(run / "split.jsonl.gz") as file:
        lines = [json.loads(line) for line in file]
    trained, held_out = ({name for split, name in lines if split == which} for which in ("train", "val"))
    return trained, held_out


def scored(run: Path, **more: Any) -> tuple[set[str], Any]:
    """The images that `evaluate` scores, by class and file, and the scores."""
    import csv

    out = run.parent / "evaluated"
    shutil.rmtree(out, ignore_errors=True)
    scores = resnets.evaluate(run, device="cpu", out=out, **more)
    with open(out / "predictions.csv", newline="") as file:
        names = {"/".join(Path(row["image"]).parts[-2:]) for row in csv.DictReader(file)}
    assert len(names) == scores.metrics["samples"]
    assert f"<h1>{scores.split} of " in (out / "report.html").read_text()
    assert json.loads((out / "metrics.json").read_text())["split"] == scores.split
    return names, scores
