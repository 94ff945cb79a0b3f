"""The scripts of benchmarks/photographs.py: their data, their results, and a run that goes on where it was stopped."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

SCRIPTS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def data(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import photographs_data

    return photographs_data


@pytest.fixture
def imagenette(tmp_path: Path) -> Path:
    """Ten classes of noise, each of its own brightness, and their table."""
    g = np.random.default_rng(0)
    rows = ["path,label,split"]
    for label in range(10):
        for number in range(16):
            path = Path("train") / f"n{label:02}" / f"{label}_{number:02}.jpg"
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            pixels = np.clip(g.normal(20 + 20 * label, 30, (40, 40, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / path)
            rows.append(f"{path},n{label:02},{'train' if number < 12 else 'test'}")
    (tmp_path / "official.csv").write_text("\n".join(rows) + "\n")
    return tmp_path


def test_few_are_the_first_of_each_class_by_name(data: Any, imagenette: Path, tmp_path: Path) -> None:
    samples = data.few(data.samples_of(imagenette / "official.csv"), 3)
    train = [each for each in samples if each.split == "train"]
    assert sorted(each.path.name for each in train) == [f"{c}_{n:02}.jpg" for c in range(10) for n in range(3)]
    assert sum(each.split == "test" for each in samples) == 40
    folder = data.write(data.renamed(samples), tmp_path / "out")
    assert sorted(each.name for each in (folder / "train").iterdir()) == list("abcdefghij")
    assert {(each.label, each.split) for each in data.samples_of(folder)} == {
        (label, split) for label in "abcdefghij" for split in ("train", "test")
    }


def test_the_halves_share_no_class(data: Any, imagenette: Path) -> None:
    samples = data.samples_of(imagenette / "official.csv")
    halves = [{each.label for each in data.of_classes(samples, part)} for part in (slice(0, 5), slice(5, 10))]
    assert [len(half) for half in halves] == [5, 5]
    assert not halves[0] & halves[1]


def test_the_long_tail_ends_at_a_hundredth(data: Any) -> None:
    samples = [data.Sample(Path(f"{n}.jpg"), f"c{c}", "train") for c in range(10) for n in range(500)]
    counts = Counter(each.label for each in data.long_tailed(samples))
    assert (counts["c0"], counts["c9"]) == (500, 5)
    assert list(counts.values()) == sorted(counts.values(), reverse=True)


def test_the_report_pairs_folds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import photographs_report

    lines = {}
    for number, (first, second) in enumerate([(0.98, 0.95), (0.97, 0.96), (0.99, 0.95)], start=1):
        lines[f"flowers fold finetune {number}/3"] = {"accuracy": first}
        lines[f"flowers fold probe {number}/3"] = {"accuracy": second}
    text = photographs_report.report(lines)
    assert "flowers fold finetune - flowers fold probe: accuracy 2.67 ± 1.53% (n=3), 95% [-1.13, 6.46]" in text


def test_results_name_no_folder_of_the_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    from photographs_runs import Lines

    lines = Lines(tmp_path / "found.jsonl")
    lines.add(
        "a", ["resnets", "train", "--data", tmp_path / "photos", "--weights", SCRIPTS.parent / "w.pth", "--seed", 1], {}
    )
    assert lines.all()["a"]["command"] == "resnets train --data photos --weights w.pth --seed 1"


@pytest.mark.slow
def test_a_result_is_kept_and_not_computed_again(imagenette: Path, tmp_path: Path) -> None:
    out = tmp_path / "found.jsonl"
    small = ["model.depths=[1,1]", "model.widths=[8,16]", "model.stem_width=8", "precision=fp32"]
    command = [
        sys.executable, SCRIPTS / "photographs.py", "scratch", "--imagenette", imagenette, "--minutes", "1", "--seeds",
        "0", "--folder", tmp_path / "work", "--out", out, "--", *small,
    ]  # fmt: skip
    for _ in range(2):
        done = subprocess.run([str(each) for each in command], capture_output=True, text=True, timeout=240, check=False)
        assert done.returncode == 0, done.stderr
        (line,) = map(json.loads, out.read_text().splitlines())
        assert (line["key"], line["seed"], line["recipe"]) == ("scratch 1 min resnets 0", 0, "photos")
        assert "resnets train --data" in line["command"]
        assert line["accuracy"] > 0.3
        assert line["last_rate"] < 0.05 * line["highest_rate"]
