"""The scripts of benchmarks/trust.py: planted labels, what a ranking finds of them, the pointing game, a whole run."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import resnets

SCRIPTS = Path(__file__).parents[1] / "benchmarks"
SMALL = ("model.depths=[1,1]", "model.widths=[8,16]", "model.stem_width=8", "precision=fp32")


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SCRIPTS))


def write_table(path: Path, *rows: tuple[object, ...]) -> None:
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows(rows)


def test_planted_labels_are_wrong_and_no_others(scripts: None) -> None:
    from photographs_data import Sample
    from trust_labels import plant

    samples = [Sample(Path(f"{number}.jpg"), f"c{number % 10}", "train") for number in range(1000)]
    planted = plant(samples)
    wrong = [(old.label, new.label) for old, new in zip(samples, planted, strict=True) if old != new]
    assert len(wrong) == 50
    assert all(old != new for old, new in wrong)
    assert {new for _, new in wrong} <= {f"c{number}" for number in range(10)}
    assert [each.path for each in planted] == [each.path for each in samples]
    assert planted == plant(samples) != plant(samples, seed=1)


def test_what_a_ranking_finds(scripts: None, tmp_path: Path) -> None:
    from trust_labels import found

    # Of 20 samples of the class a, the labels of 3 are wrong: two of them are the most suspicious.
    suspicious = {0: 0.9, 1: 0.8, 2: 0.1, 3: 0.7}
    rows = [
        (f"x/{number}.jpg", "b" if number < 3 else "a", "b" if number in (2, 3) else "a", suspicious.get(number, -0.9))
        for number in range(20)
    ]
    write_table(tmp_path / "predictions.csv", ("image", "label", "predicted", "suspicion"), *reversed(rows))
    listed = [("x/0.jpg", "b", "a"), ("x/3.jpg", "a", "b"), ("x/1.jpg", "b", "c")]
    write_table(tmp_path / "wrong_labels.csv", ("path", "label", "suggested"), *listed)
    assert found(tmp_path, {f"{number}.jpg": "a" for number in range(20)}) == {
        "samples": 20, "planted": 3, "first": 2, "among_first": 2, "found": pytest.approx(2 / 3),
        "accuracy_by_right_labels": 0.9, "listed": 3, "listed_wrong": 2, "wrong_after": 3,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("point", "is_hit"), [((10, 5), True), ((30, 20), True), ((34, 24), True), ((35, 20), False), ((10, 0.5), False)]
)
def test_a_hit_lies_within_the_tolerance_of_the_box(scripts: None, point: tuple[float, float], is_hit: bool) -> None:
    from trust_pointing import hits

    assert hits((10, 5, 30, 20), point, 4) is is_hit


def test_the_pointing_game_on_a_network_that_sees_where_it_is_bright(scripts: None, tmp_path: Path) -> None:
    from trust_pointing import Boxed, boxed_images, pointing

    root = tmp_path / "train" / "n1"
    (root / "images").mkdir(parents=True)
    corners = [(0, 0), (40, 0), (0, 40), (40, 40), (20, 20)]
    table = []
    for number, (left, top) in enumerate(corners):
        pixels = np.zeros((64, 64, 3), np.uint8)
        pixels[top : top + 20, left : left + 20] = 255
        Image.fromarray(pixels).save(root / "images" / f"{number}.png")
        table.append(f"{number}.png\t{left}\t{top}\t{left + 19}\t{top + 19}")
    (root / "n1_boxes.txt").write_text("\n".join([*table, "missing.png\t0\t0\t9\t9"]) + "\n")
    images = boxed_images(tmp_path)
    assert images[3] == Boxed(root / "images" / "3.png", "n1", (40, 40, 59, 59))
    assert len(images) == 5

    network = resnets.create("resnet18", classes=2, depths=(1,), widths=(4,), stem_width=4)
    for parameter in network.parameters():
        parameter.data = parameter.data.abs()  # the brighter, the more of every class
    file = resnets.save(
        network,
        tmp_path / "m.safetensors",
        classes=["n1", "n2"],
        preprocessing=resnets.Preprocessing(resize=64, crop=64),
    )
    found = pointing(resnets.load(file), images)
    assert (found["images"], found["hit"], found["center"]) == (5, 1.0, 0.2)
    assert (found["hit_alone"], found["center_alone"]) == (4, 0)
    assert found["small"] == {"images": 5, "hit": 1.0, "center": 0.2}


@pytest.mark.slow
def test_each_experiment_goes_on_where_it_was(tmp_path: Path) -> None:
    g = np.random.default_rng(0)
    rows: list[tuple[object, ...]] = [("path", "label", "split")]
    for label in range(3):
        for number in range(40):
            path = Path(f"n{label}") / f"{label}_{number:02}.png"
            (tmp_path / "data" / path).parent.mkdir(parents=True, exist_ok=True)
            pixels = np.clip(g.normal(40 + 80 * label, 20, (32, 32, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "data" / path)
            rows.append((path, f"n{label}", "train" if number < 30 else "test"))
    write_table(tmp_path / "data" / "official.csv", *rows)
    (tmp_path / "photos").mkdir()
    for label in range(5):
        Image.fromarray(g.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(tmp_path / "photos" / f"n{label}_x.png")

    def lines(experiment: str, *arguments: object) -> dict[str, Any]:
        places = ["--imagenette", tmp_path / "data", "--photos", tmp_path / "photos", "--folder", tmp_path / "work"]
        out = tmp_path / "found.jsonl"
        command = [sys.executable, SCRIPTS / "trust.py", experiment, *places, "--out", out, *arguments, "--", *SMALL]
        command += ["--size", "32", "augmentations.progressive_resize=null", "--epochs", "2"]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=240, check=False)
        assert done.returncode == 0, done.stderr
        return {line["key"]: line for line in map(json.loads, out.read_text().splitlines())}

    labels = ("labels", "--answers", "scratch", "--minutes", 1000, "--seeds")
    first = lines(*labels)
    assert first.keys() == {"labels ranking scratch"}
    assert first["labels ranking scratch"]["planted"] == 4
    both = lines(*labels, 0)
    assert both["labels ranking scratch"] == first["labels ranking scratch"]
    assert both.keys() - first.keys() == {"labels planted 0", "labels corrected by scratch 0"}
    every = lines("thresholds", "--cases", "imagenette scratch", "--minutes", 1000, "--seeds", 0)
    run, others = (every[f"thresholds imagenette scratch {name}0"] for name in ("", "others "))
    assert 0 <= run["unknown_below"] <= 1
    assert 0 <= run["coverage"] <= 1
    assert (others["samples"], 0 <= others["unanswered"] <= 1) == (2, True)
