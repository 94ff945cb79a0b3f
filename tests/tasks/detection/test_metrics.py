"""VOC's AP against computations of another kind, thresholds against a search, and records as they are gathered."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve

from resnets.tasks.base import SampleRecords
from resnets.tasks.detection.answers import DetectedImage
from resnets.tasks.detection.matching import average_precision, average_precision_at, match
from resnets.tasks.detection.metrics import evaluate_batch, metrics
from resnets.tasks.detection.thresholds import THRESHOLD, at_thresholds, best_threshold, best_thresholds
from tests.tasks.detection.cases import answers_near, random_truth, records_of, without_sizes

CLASSES = ("ant", "bee", "cat", "dog")


def random_records(seed: int, **settings: Any) -> SampleRecords:
    truth = random_truth(seed, len(CLASSES), **settings)
    return records_of(answers_near(truth, len(CLASSES), seed), without_sizes(truth))


def plain_iou(a: NDArray[Any], b: NDArray[Any]) -> float:
    width, height = (min(a[i + 2], b[i + 2]) - max(a[i], b[i]) for i in (0, 1))
    both = max(width, 0) * max(height, 0)
    return float(both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both))


def plain_voc(records: SampleRecords, label: int) -> tuple[float, float]:
    """AP of VOC07 and VOC12 by going through the answers of a class one by one."""
    listed = []
    for row, scores in enumerate(records["scores"]):
        listed += [(-float(scores[i]), row, i) for i in range(len(scores)) if records["labels"][row][i] == label]
    taken: set[tuple[int, int]] = set()
    true, false = 0, 0
    points = []
    objects = sum(
        int(own == label and not hard and not group)
        for row in range(len(records["scores"]))
        for own, hard, group in zip(
            records["true_labels"][row], records["difficult"][row], records["crowds"][row], strict=True
        )
    )
    for _, row, place in sorted(listed):
        box = records["boxes"][row][place].astype(float)
        overlaps = [
            (plain_iou(box, other), -number)
            for number, other in enumerate(records["true_boxes"][row])
            if records["true_labels"][row][number] == label
        ]
        overlap, number = max(overlaps, default=(0, 0))
        if overlap >= 0.5:
            if records["difficult"][row][-number] or records["crowds"][row][-number]:
                continue
            if (row, -number) not in taken:
                taken.add((row, -number))
                true += 1
            else:
                false += 1
        else:
            false += 1
        points.append((true / objects, true / (true + false)))
    elevens = [max((p for r, p in points if r >= least), default=0.0) for least in np.arange(0, 1.1, 0.1)]
    curve = [(0.0, 0.0), *points]
    area = sum(
        (after[0] - before[0]) * max(p for r, p in points if r >= after[0])
        for before, after in pairwise(curve)
        if after[0] > before[0]
    )
    return float(np.mean(elevens)), float(area)


@pytest.mark.parametrize("seed", range(4))
def test_voc_is_that_of_a_plain_loop(seed: int) -> None:
    records = random_records(seed)
    found = metrics(records, CLASSES)
    plain = [plain_voc(records, label) for label in range(len(CLASSES))]
    for place, name in enumerate(("voc07_ap50", "voc12_ap50")):
        ours = [found["classes"][each][name] for each in CLASSES]
        assert ours == pytest.approx([each[place] for each in plain], abs=1e-12)
        assert found[name] == pytest.approx(np.mean(ours))
    assert any(values.any() for values in records["difficult"])
    assert len({round(value, 6) for pair in plain for value in pair}) > len(CLASSES)


@pytest.mark.parametrize("seed", range(3))
def test_the_area_is_that_of_the_curve_of_scikit_learn(seed: int) -> None:
    scores, hits, objects = match(random_records(seed, images=40)).of_class(1)
    ties = np.flatnonzero(np.diff(scores) == 0)  # which are one point there
    scores = scores - np.arange(len(scores)) * 1e-9
    precision, recall, _ = precision_recall_curve(hits, scores)
    envelope = np.maximum.accumulate(precision[:-1])  # from the largest recall down
    area = -(np.diff(recall) * envelope).sum() * hits.sum() / objects
    assert average_precision(hits, objects) == pytest.approx(area, abs=1e-12)
    assert len(ties) > 0
    assert 0 < hits.sum() < objects


def test_difficult_objects_count_neither_as_found_nor_as_missed() -> None:
    own: dict[str, Any] = {
        "boxes": np.array([[0.0, 0, 10, 10], [20, 0, 30, 10]]), "labels": np.zeros(2, int),
        "crowds": np.zeros(2, bool), "difficult": np.array([True, False]), "areas": np.full(2, 100.0),
    }  # fmt: skip
    answer = DetectedImage((40, 40), own["boxes"], np.array([0.9, 0.8]), np.zeros(2, int))
    found = metrics(records_of([answer], [own]), ("a",))
    assert (found["voc07_ap50"], found["voc12_ap50"], found["boxes"]) == (1, 1, 1)
    assert found["classes"]["a"]["precision"] == 1
    assert found["ap50"] == pytest.approx(1)  # COCO knows no difficult objects
    missed = DetectedImage((40, 40), own["boxes"][1:], np.array([0.9]), np.zeros(1, int))
    assert metrics(records_of([missed], [own]), ("a",))["voc12_ap50"] == 1
    all_difficult = {**own, "difficult": np.ones(2, bool)}
    found = metrics(records_of([answer], [all_difficult]), ("a",))
    assert (found["voc07_ap50"], found["classes"]["a"]["voc12_ap50"], found["classes"]["a"]["recall"]) == (None,) * 3


def test_an_answer_that_was_found_twice_is_wrong_the_second_time() -> None:
    hits = np.array([True, False, True])
    assert average_precision(hits, 2) == pytest.approx(0.5 + 0.5 * 2 / 3)
    assert average_precision_at(hits, 2, 11) == pytest.approx((6 * 1 + 5 * 2 / 3) / 11)
    assert (average_precision(hits[:0], 2), average_precision_at(hits[:0], 2, 11)) == (0, 0)
    assert (average_precision(hits, 0), average_precision_at(hits, 0, 11)) == (None, None)


@pytest.mark.parametrize("seed", range(3))
def test_the_best_thresholds_have_the_highest_f1(seed: int) -> None:
    matches = match(random_records(seed))
    chosen = best_thresholds(matches, len(CLASSES))
    best = [each["f1"] for each in at_thresholds(matches, chosen)]
    for threshold in np.linspace(0, 1, 60):
        others = [each["f1"] for each in at_thresholds(matches, [threshold] * len(CLASSES))]
        assert all(
            ours is not None and other is not None and ours >= other for ours, other in zip(best, others, strict=True)
        )


@pytest.mark.parametrize("seed", range(3))
def test_a_wanted_precision_is_reached_with_the_highest_recall(seed: int) -> None:
    matches = match(random_records(seed, images=30))
    for wanted in (0.3, 0.6):
        found = at_thresholds(matches, best_thresholds(matches, len(CLASSES), wanted))
        for label, own in enumerate(found):
            tried = [at_thresholds(matches, [t] * len(CLASSES))[label] for t in np.linspace(0.001, 1, 50)]
            enough = [float(each["recall"] or 0) for each in tried if (each["precision"] or 0) >= wanted]
            if enough:
                assert (own["precision"] or 0) >= wanted
                assert (own["recall"] or 0) >= max(enough)
    scores, hits = np.array([0.9, 0.5]), np.array([False, True])
    assert best_threshold(scores, hits, 1, 0.9) == pytest.approx(0.25)  # never reached: the highest that there is
    assert best_threshold(scores, np.array([False, False]), 1) == THRESHOLD
    assert best_threshold(scores, hits, 0) == THRESHOLD


def test_records_are_those_of_the_answers_and_the_truth() -> None:
    truth = random_truth(0, 3, 5, masks=True)
    answers = answers_near(truth, 3, masks=True)
    targets: dict[str, Any] = {
        name: [torch.from_numpy(each[name]) for each in truth] for name in without_sizes(truth)[0]
    }
    found = evaluate_batch(answers, targets)
    assert np.array_equal(found["sizes"], [each["size"] for each in truth])
    assert [len(each) for each in found["masks"]] == [len(each) for each in answers]
    assert [len(each) for each in found["true_masks"]] == [len(each["boxes"]) for each in truth]
    assert all(np.array_equal(ours, own["boxes"]) for ours, own in zip(found["true_boxes"], truth, strict=True))
    assert all((np.diff(each) <= 0).all() for each in found["scores"])
    without = evaluate_batch(answers_near(truth, 3), targets)
    assert without.keys() == found.keys() - {"masks", "true_masks"}


def test_an_answer_that_is_no_number_is_left_out() -> None:
    boxes = np.array([[0.0, 0, 1, 1], [0, 0, 2, np.nan], [0, 0, 3, 3]])
    answer = DetectedImage(
        (9, 9), boxes, np.array([np.nan, 0.8, 0.9]), np.array([0, 1, 2]), np.array(list("abc"), object)
    )
    assert (len(answer), answer.labels.tolist(), answer.masks is not None and answer.masks.tolist()) == (1, [2], ["c"])


def test_the_loss_is_the_mean_over_the_images() -> None:
    records = random_records(0)
    assert metrics(records, CLASSES)["loss"] is None
    records["loss"] = np.arange(len(records["boxes"]), dtype=np.float32)
    assert metrics(records, CLASSES)["loss"] == pytest.approx((len(records["boxes"]) - 1) / 2)
