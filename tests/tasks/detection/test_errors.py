"""Kinds of errors by hand, and what they cost against COCO's AP of records in which they are mended."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from resnets.tasks.base import SampleRecords
from resnets.tasks.detection.answers import DetectedImage
from resnets.tasks.detection.coco import coco_scores
from resnets.tasks.detection.errors import KINDS, Errors, above, find_errors, lost_ap
from resnets.tasks.records import ragged
from tests.tasks.detection.cases import answers_near, random_truth, records_of, without_sizes

CLASSES = 3


def random_records(seed: int) -> SampleRecords:
    """Without groups and difficult objects, and with scores that all differ."""
    truth = without_sizes(random_truth(seed, CLASSES, 20, crowds=0))
    for each in truth:
        each["difficult"] = np.zeros(len(each["boxes"]), bool)
    records = records_of(answers_near(random_truth(seed, CLASSES, 20, crowds=0), CLASSES, seed), truth)
    g = np.random.default_rng(seed)
    records["scores"] = ragged(-np.sort(-g.random(len(own))) for own in records["scores"])
    return records


def changed(records: SampleRecords, errors: Errors, kind: str) -> SampleRecords:
    """The records with the errors of a kind mended in the data itself."""
    new = {name: ragged(own.copy() for own in values) if values.dtype == object else values
           for name, values in records.items()}  # fmt: skip
    truth, answers = errors.matches.truth, errors.matches.answers
    if kind == "miss":
        for row in range(len(new["boxes"])):
            kept = ~errors.missed[truth.of(row)]
            for name in ("true_boxes", "true_labels", "crowds", "difficult", "areas"):
                new[name][row] = new[name][row][kept]
        return new
    free = {int(t) for t in np.flatnonzero(errors.matches.finder < 0)}
    by_score = np.argsort(-errors.matches.scores, kind="stable")
    best: dict[int, int] = {}
    for answer in by_score.tolist():
        if int(errors.nearest[answer]) in free:
            best.setdefault(int(errors.nearest[answer]), answer)
    for row in range(len(new["boxes"])):
        own = answers.of(row)
        wrong = errors.kind[own] == KINDS.index(kind)  # type: ignore[arg-type]
        is_best = [best.get(int(errors.nearest[n])) == n for n in range(own.start, own.stop)]
        mended = wrong & np.array(is_best, np.bool_)
        for place in np.flatnonzero(mended):
            target = int(errors.nearest[own.start + place])
            new["labels"][row][place] = truth.labels[target]
            new["boxes"][row][place] = truth.boxes[target]
        for name in ("boxes", "scores", "labels"):
            new[name][row] = new[name][row][mended | ~wrong]
    return new


@pytest.mark.parametrize("seed", range(4))
def test_what_a_kind_costs_is_the_ap_that_is_gained_without_it(seed: int) -> None:
    records = random_records(seed)
    errors = find_errors(records)
    whole = coco_scores(records, CLASSES).numbers["ap50"]
    lost = lost_ap(errors, CLASSES)
    assert whole is not None
    for kind in KINDS:
        assert errors.count(kind) > 0
        mended = coco_scores(changed(records, errors, kind), CLASSES).numbers["ap50"]
        assert mended is not None
        assert lost[kind] == pytest.approx(max(mended - whole, 0), abs=1e-12)
    assert lost["miss"] > 0 and lost["class"] > 0  # type: ignore[operator] # noqa: PT018


def test_every_wrong_answer_has_one_kind() -> None:
    errors = find_errors(random_records(1))
    right = errors.matches.found >= 0
    assert ((errors.kind >= 0) == ~right).all()
    assert sum(errors.count(kind) for kind in KINDS[:-1]) == int((~right).sum())
    assert not (errors.missed & (errors.matches.finder >= 0)).any()


def test_each_kind_by_hand() -> None:
    own: dict[str, Any] = {
        "boxes": np.array([[0.0, 0, 10, 10], [100, 0, 110, 10], [200, 0, 210, 10], [300, 0, 310, 10]]),
        "labels": np.array([0, 0, 0, 1]), "crowds": np.zeros(4, bool), "difficult": np.zeros(4, bool),
        "areas": np.full(4, 100.0),
    }  # fmt: skip
    answers = [
        ([0, 0, 10, 10], 0.9, 0, None),  # right
        ([0, 0, 10, 9], 0.8, 0, "duplicate"),
        ([105, 0, 115, 10], 0.7, 0, "localization"),  # an IoU of a third
        ([300, 0, 310, 10], 0.6, 0, "class"),
        ([305, 0, 315, 10], 0.5, 0, "class and localization"),
        ([400, 0, 410, 10], 0.4, 0, "background"),
        ([209, 0, 219, 10], 0.3, 0, "background"),  # an IoU of a nineteenth
    ]
    answer = DetectedImage(
        (20, 500), np.array([each[0] for each in answers], float), np.array([each[1] for each in answers]),
        np.array([each[2] for each in answers]),
    )  # fmt: skip
    errors = find_errors(records_of([answer], [own]))
    assert [None if k < 0 else KINDS[k] for k in errors.kind] == [each[3] for each in answers]
    assert errors.nearest.tolist() == [-1, -1, 1, 3, -1, -1, -1]
    assert errors.missed.tolist() == [False, False, True, False]
    assert errors.count("background") == 2


def test_answers_on_groups_are_no_errors() -> None:
    own: dict[str, Any] = {
        "boxes": np.array([[0.0, 0, 100, 100]]), "labels": np.array([0]), "crowds": np.array([True]),
        "difficult": np.array([False]), "areas": np.array([9000.0]),
    }  # fmt: skip
    boxes = np.array([[0.0, 0, 20, 20], [200, 0, 220, 20]])
    answer = DetectedImage((200, 300), boxes, np.array([0.9, 0.8]), np.zeros(2, int))
    errors = find_errors(records_of([answer], [own]))
    assert [errors.count(kind) for kind in KINDS] == [0, 0, 0, 0, 1, 0]
    assert set(lost_ap(errors, 2).values()) == {None}


def test_answers_above_the_thresholds() -> None:
    records = random_records(2)
    kept = above(records, [0.2, 0.5, 0.9])
    for row, scores in enumerate(kept["scores"]):
        least = np.array([0.2, 0.5, 0.9])[kept["labels"][row]]
        assert (scores >= least).all()
        assert len(scores) == len(kept["boxes"][row]) <= len(records["scores"][row])
    assert sum(map(len, kept["scores"])) < sum(map(len, records["scores"]))
    assert kept["true_boxes"] is records["true_boxes"]
