"""Detection of what is at the edge of what there is: it trains and is scored, or the message names the cause."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import resnets
from resnets.core.errors import DataError
from tests.conftest import truncate
from tests.modalities.image.box_files import Scene, Thing, write
from tests.training.test_detection_run import BOXES, train

CATS = [Scene(f"{n}", [Thing("cat", BOXES[n])], id=n + 1) for n in range(4)]
VAL = [Scene("v", [Thing("cat", BOXES[0])], id=9)]


def scores_of(root: Path, out: Path, *settings: str) -> dict[str, Any]:
    train(root, out, "warmup=none", *settings, epochs=1)
    return dict(resnets.evaluate(out, data=str(root), split="val").metrics)


def many(count: int) -> list[Thing]:
    g = np.random.default_rng(0)
    corners = g.uniform(0, [50, 30], (count, 2))
    ends = corners + g.uniform(1, 10, (count, 2))
    return [Thing("cat", (x, y, right, bottom)) for (x, y), (right, bottom) in zip(corners, ends, strict=True)]


@pytest.mark.parametrize(
    "last",
    [
        Scene("last", [Thing("cat", (20, 10, 21, 11))], id=10),
        Scene("last", many(500), id=10),
        Scene("last", [Thing("cat", (2000, 0, 2600, 1))], size=(1, 5000), id=10),
        Scene("last", [Thing("cat", (0, 100, 1, 900))], size=(5000, 1), id=10),
    ],
    ids=["a box of one pixel", "500 boxes", "1 x 5000", "5000 x 1"],
)
def test_it_trains_and_is_scored(last: Scene, tmp_path: Path) -> None:
    root = write(tmp_path / "data", "coco", {"train": [*CATS, last], "val": [*VAL, last]}, {1: "cat"})
    found = scores_of(root, tmp_path / "r")
    assert found["samples"] == 2
    assert found["boxes"] == 1 + len(last.things)
    assert 0 <= found["ap"] <= 1


def test_eighty_classes_of_which_val_has_one(tmp_path: Path) -> None:
    classes = {number + 1: f"class {number}" for number in range(80)}
    scenes = {
        "train": [Scene(f"{n}", [Thing(f"class {n}", BOXES[n % 5])], id=n + 1) for n in range(80)],
        "val": [Scene("v", [Thing("class 7", BOXES[0])], id=100)],
    }
    found = scores_of(write(tmp_path / "data", "coco", scenes, classes), tmp_path / "r")
    assert len(found["classes"]) == 80
    assert [name for name, each in found["classes"].items() if each["ap"] is not None] == ["class 7"]
    assert found["ap"] == found["classes"]["class 7"]["ap"]


def test_a_truncated_image_is_named_before_the_first_step_or_left_out(tmp_path: Path) -> None:
    root = write(tmp_path / "data", "coco", {"train": CATS, "val": VAL}, {1: "cat"})
    truncate(root / "train" / "2.jpg")
    with pytest.raises(DataError, match=r"train/2\.jpg"):
        train(root, tmp_path / "r", epochs=1)
    assert scores_of(root, tmp_path / "without", "damaged=exclude")["samples"] == 1


def test_data_without_a_box_is_refused(tmp_path: Path) -> None:
    root = write(tmp_path, "coco", {"train": [Scene("a"), Scene("b")], "val": VAL}, {1: "cat"})
    with pytest.raises(DataError, match="has no box to learn from in its train images"):
        train(root, tmp_path / "r", epochs=1)
