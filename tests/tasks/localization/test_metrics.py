"""The errors of localization against a plain computation, and by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from resnets.tasks.localization.metrics import metrics
from resnets.tasks.records import ragged

CLASSES = 7


def plain_iou(a: Any, b: Any) -> float:
    width, height = (min(a[i + 2], b[i + 2]) - max(a[i], b[i]) for i in (0, 1))
    both = max(width, 0) * max(height, 0)
    return float(both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both))


def random_boxes(g: np.random.Generator, count: int) -> NDArray[np.float64]:
    corners = g.uniform(0, 60, (count, 2))
    return np.concatenate([corners, corners + g.uniform(5, 40, (count, 2))], 1)


def random_records(samples: int = 300, seed: int = 0) -> dict[str, Any]:
    """Guesses that are often right, and boxes that are often near a true one."""
    g = np.random.default_rng(seed)
    true = [random_boxes(g, int(count)) for count in g.integers(1, 4, samples)]
    near = np.stack([own[g.integers(len(own), size=6)] + g.normal(0, 6, (6, 4)) for own in true])
    near[..., 2:] = np.maximum(near[..., 2:], near[..., :2] + 1)
    return {
        "label": g.integers(0, CLASSES, samples),
        "guesses": np.stack([g.permutation(CLASSES)[:5] for _ in range(samples)]),
        "boxes": near[:, :5].astype(np.float32),
        "given_boxes": near[:, 5].astype(np.float32),
        "true_boxes": ragged(true),
        "loss": g.random(samples).astype(np.float32),
    }


@pytest.mark.parametrize("seed", range(3))
def test_they_are_those_of_a_plain_loop(seed: int) -> None:
    records = random_records(seed=seed)
    hits: dict[str, list[bool]] = {name: [] for name in ("c1", "c5", "l1", "l5", "given")}
    for row, label in enumerate(records["label"]):
        placed = [
            guess == label and any(plain_iou(box, true) >= 0.5 for true in records["true_boxes"][row])
            for guess, box in zip(records["guesses"][row], records["boxes"][row].astype(float), strict=True)
        ]
        given = records["given_boxes"][row].astype(float)
        hits["c1"].append(records["guesses"][row][0] == label)
        hits["c5"].append(label in records["guesses"][row])
        hits["l1"].append(placed[0])
        hits["l5"].append(any(placed))
        hits["given"].append(any(plain_iou(given, true) >= 0.5 for true in records["true_boxes"][row]))
    found = metrics(records)
    assert [found[name] for name in (
        "top1_error", "top5_error", "top1_localization_error", "top5_localization_error",
        "given_class_localization_error",
    )] == pytest.approx([1 - np.mean(each) for each in hits.values()], abs=1e-12)  # fmt: skip
    assert found["loss"] == pytest.approx(records["loss"].astype(float).mean())
    assert found["samples"] == 300
    assert 0 < found["top1_error"] < found["top1_localization_error"] < 1


def test_the_right_class_and_the_right_box_must_be_one_guess() -> None:
    there, elsewhere = [0.0, 0, 10, 10], [50.0, 50, 60, 60]
    records: dict[str, Any] = {
        "label": np.array([1]),
        "guesses": np.array([[0, 1]]),
        "boxes": np.array([[there, elsewhere]]),
        "given_boxes": np.array([elsewhere]),
        "true_boxes": ragged([np.array([there])]),
    }
    found = metrics(records)
    assert (found["top1_error"], found["top5_error"]) == (1, 0)
    assert (found["top1_localization_error"], found["top5_localization_error"]) == (1, 1)
    assert (found["given_class_localization_error"], found["loss"]) == (1, None)
    records["guesses"] = np.array([[1, 0]])
    assert metrics(records)["top1_localization_error"] == 0


def test_an_iou_of_a_half_is_enough_and_any_true_box_will_do() -> None:
    records: dict[str, Any] = {
        "label": np.array([0]),
        "guesses": np.array([[0]]),
        "boxes": np.array([[[0.0, 0, 10, 5]]]),
        "given_boxes": np.array([[0.0, 0, 10, 4.9]]),
        "true_boxes": ragged([np.array([[30.0, 30, 40, 40], [0, 0, 10, 10]])]),
    }
    found = metrics(records)
    assert (found["top1_localization_error"], found["given_class_localization_error"]) == (0, 1)


def test_without_samples_there_are_no_figures() -> None:
    empty = {name: values[:0] for name, values in random_records(4).items()}
    assert set(metrics(empty).values()) == {None, 0}
