"""COCO's numbers equal those of pycocotools on the JSON that is written."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from resnets.core.errors import UsageError
from resnets.core.files import write_json
from resnets.tasks.base import SampleRecords
from resnets.tasks.detection import masks as of_masks
from resnets.tasks.detection.answers import DetectedImage
from resnets.tasks.detection.coco import NUMBERS, coco_scores, results_json, truth_json
from resnets.tasks.detection.metrics import metrics
from resnets.tasks.records import ragged
from tests.tasks.detection.cases import answers_near, coco_truth, random_truth, records_of, without_sizes

CLASSES = 4
CATEGORIES = {7: "cat", 3: "dog", 90: "cow", 1: "sheep"}


def pycocotools_on(folder: Path, kind: str) -> tuple[list[float], Any]:
    """The twelve numbers of the files in `folder`, and its evaluation."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(folder / "coco_truth.json")
        found = COCOeval(truth, truth.loadRes(str(folder / "coco.json")), kind)
        found.evaluate()
        found.accumulate()
        found.summarize()
    return found.stats.tolist(), found


def same(ours: Sequence[float | None], theirs: Sequence[float]) -> None:
    """-1 stands for undefined there."""
    assert [-1 if each is None else each for each in ours] == pytest.approx(theirs, abs=1e-6)


def written(folder: Path, records: SampleRecords, categories: dict[int, str]) -> Path:
    write_json(folder / "coco_truth.json", truth_json(records, categories))
    write_json(folder / "coco.json", results_json(records, list(categories)))
    return folder


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_they_are_those_of_pycocotools(kind: Any, seed: int, tmp_path: Path) -> None:
    with_masks = kind == "segm"
    truth = random_truth(seed, CLASSES - 1, masks=with_masks)  # no object is of the last class
    records = records_of(answers_near(truth, CLASSES, seed, masks=with_masks), without_sizes(truth))
    ours = coco_scores(records, CLASSES, kind)
    theirs, evaluation = pycocotools_on(written(tmp_path, records, CATEGORIES), kind)
    same([ours.numbers[name] for name in NUMBERS], theirs)
    assert 0 < theirs[0] < 1
    assert min(theirs) >= 0
    precision = evaluation.eval["precision"]
    for place, category in enumerate(evaluation.params.catIds):
        own = ours.classes[list(CATEGORIES).index(category)]
        for name, values in (("ap", precision[:, :, place, 0, -1]), ("ap50", precision[0, :, place, 0, -1])):
            known = values[values > -1]
            same([own[name]], [known.mean() if known.size else -1])
    assert ours.classes[CLASSES - 1] == {"ap": None, "ap50": None}


@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_they_are_those_of_pycocotools_on_coco40(kind: Any, shared: Path, tmp_path: Path) -> None:
    truth, categories = coco_truth(shared / "detection" / "coco40", masks=kind == "segm")
    names = tuple(categories.values())
    records = records_of(answers_near(truth, len(names), masks=kind == "segm"), without_sizes(truth))
    figures = metrics(records, names)
    theirs, _ = pycocotools_on(written(tmp_path, records, categories), kind)
    same([figures[("mask_" if kind == "segm" else "") + name] for name in NUMBERS], theirs)
    assert 0.1 < theirs[0] < 0.9
    assert figures["classes"]["giraffe"]["ap50"] is not None
    assert figures["samples"] == 40
    written_truth = json.loads((tmp_path / "coco_truth.json").read_text())
    assert {each["id"] for each in written_truth["images"]} == {int(each["image_ids"]) for each in truth}
    assert sum(each["iscrowd"] for each in written_truth["annotations"]) == 1
    answers = json.loads((tmp_path / "coco.json").read_text())
    assert {each["category_id"] for each in answers} <= set(categories)
    assert max(each["category_id"] for each in answers) > 80


def test_a_small_or_large_number_that_is_not_defined_is_none(tmp_path: Path) -> None:
    own: dict[str, Any] = {
        "boxes": np.array([[10.0, 10, 20, 20]]), "labels": np.array([1]), "crowds": np.array([False]),
        "difficult": np.array([False]), "areas": np.array([100.0]),
    }  # fmt: skip
    empty: dict[str, Any] = {name: values[:0] for name, values in own.items()}
    nothing = DetectedImage((50, 60), np.zeros((0, 4)), np.zeros(0), np.zeros(0, np.int64))
    right = DetectedImage((50, 60), own["boxes"], np.array([0.5]), np.array([1]))
    records = records_of([right, nothing], [own, empty])
    ours = coco_scores(records, CLASSES).numbers
    assert [ours[name] for name in ("ap", "ap_small", "ap_medium", "ar_large")] == [pytest.approx(1), 1, None, None]
    theirs, _ = pycocotools_on(written(tmp_path, records, CATEGORIES), "bbox")
    same(list(ours.values()), theirs)
    without_answers = coco_scores(records_of([nothing, nothing], [own, empty]), CLASSES).numbers
    assert (without_answers["ap"], without_answers["ar100"], without_answers["ap_large"]) == (0, 0, None)
    assert set(coco_scores(records_of([right], [empty]), CLASSES).numbers.values()) == {None}
    json.dumps(metrics(records, tuple("abcd")), allow_nan=False)


def test_groups_take_any_number_of_answers(tmp_path: Path) -> None:
    own: dict[str, Any] = {
        "boxes": np.array([[0.0, 0, 100, 100], [200, 0, 230, 30]]), "labels": np.array([0, 0]),
        "crowds": np.array([True, False]), "difficult": np.zeros(2, bool), "areas": np.array([9000.0, 900]),
    }  # fmt: skip
    boxes = np.array([[0.0, 0, 20, 20], [40, 40, 60, 60], [200, 0, 230, 30], [300, 0, 330, 30]])
    answer = DetectedImage((100, 400), boxes, np.array([0.9, 0.8, 0.7, 0.6]), np.zeros(4, np.int64))
    records = records_of([answer], [own])
    found = metrics(records, ("a",))
    same([found[name] for name in NUMBERS], pycocotools_on(written(tmp_path, records, {5: "a"}), "bbox")[0])
    assert (found["ap"], found["voc12_ap50"], found["boxes"]) == (pytest.approx(1), pytest.approx(1 / 3), 1)
    assert found["classes"]["a"]["precision"] == 1 / 2


def test_images_without_a_number_of_their_own_are_numbered() -> None:
    truth = random_truth(0, CLASSES, 3)
    records = records_of(answers_near(truth, CLASSES), without_sizes(truth))
    names = ["a.jpg", "b.jpg", "c.jpg"]
    images = truth_json(records, CATEGORIES, names)["images"]
    assert [(each["id"], each["file_name"]) for each in images] == list(zip((1, 2, 3), names, strict=True))
    assert [each["height"] for each in images] == [int(each["size"][0]) for each in truth]
    records["image_ids"] = np.array([7, 7, 9])  # several sets of images together
    assert [each["id"] for each in truth_json(records, CATEGORIES)["images"]] == [1, 2, 3]


def test_samples_may_be_drawn_again() -> None:
    """As an interval by bootstrap does."""
    truth = random_truth(1, CLASSES)
    records = records_of(answers_near(truth, CLASSES), without_sizes(truth))
    twice = {name: np.concatenate([values, values]) for name, values in records.items()}
    assert coco_scores(twice, CLASSES).numbers["ar100"] == pytest.approx(coco_scores(records, CLASSES).numbers["ar100"])
    empty = {name: values[[4, 9]] for name, values in records.items()}
    assert coco_scores(empty, CLASSES).numbers["ap"] is None


def test_masks_are_the_same_after_coding() -> None:
    g = np.random.default_rng(0)
    masks = g.integers(0, 2, (3, 17, 9), np.uint8)
    texts = of_masks.encode(masks)
    assert np.array_equal(of_masks.decode(texts.tolist(), (17, 9)), masks)
    assert of_masks.decode([], (17, 9)).shape == (0, 17, 9)
    assert texts.shape == (3,)
    assert of_masks.as_json(texts[0], np.array([17, 9])) == {"size": [17, 9], "counts": texts[0]}


def test_without_the_package_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "faster_coco_eval", None)
    truth = random_truth(0, CLASSES, 2)
    with pytest.raises(UsageError, match=r"faster-coco-eval, which is not installed: .*detection"):
        coco_scores(records_of(answers_near(truth, CLASSES), without_sizes(truth)), CLASSES)


def test_ragged_columns_are_rows() -> None:
    same_shape = ragged([np.zeros((2, 4)), np.ones((2, 4))])
    assert same_shape.shape == (2,)
    assert same_shape.dtype == object
    assert same_shape[[1, 1]][0][0, 0] == 1
