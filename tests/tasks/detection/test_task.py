"""The task of detection, with a network of random weights."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models.detection.roi_heads import paste_masks_in_image

from resnets.core.errors import UsageError
from resnets.evaluation.predictor import Ensemble, Member, NetworkPredictor
from resnets.modalities.base import Subset
from resnets.modalities.batch import Batch, Loaded
from resnets.models.box_heads import FasterRCNNHead
from resnets.models.initialize import initialize
from resnets.models.spec import Spec
from resnets.nn.stochastic import set_rng_keys
from resnets.tasks.box_limits import with_box_limits
from resnets.tasks.classification.task import Classification
from resnets.tasks.detection.answers import DetectedImage
from resnets.tasks.detection.boxes import Detections
from resnets.tasks.detection.categories import categories
from resnets.tasks.detection.masks import decode
from resnets.tasks.detection.network import Detector
from resnets.tasks.detection.outputs import answer_of, objects_of, on_input
from resnets.tasks.detection.settings import Detect
from resnets.tasks.detection.task import Detection
from resnets.tasks.multilabel.settings import MultiLabel
from tests.tasks.detection.cases import answers_near, random_truth, records_of, without_sizes

CLASSES = ("ant", "bee", "cat")
SPEC = Spec(depths=(1, 1, 1, 1), widths=(8, 8, 8, 8), stem_width=8, classes=3)
FOUND = Detections(
    torch.tensor([[10.0, 20, 30, 40], [0, 0, 50, 60]]), torch.tensor([1, 0]), torch.tensor([0.75, 0.5]),
    torch.rand(2, 28, 28, generator=torch.Generator().manual_seed(0)),
)  # fmt: skip


def test_boxes_come_to_the_size_and_the_place_of_the_original() -> None:
    answer = answer_of(FOUND, (10, 10, 60, 110), (200, 150), mirrored=False)
    assert answer.boxes[0].tolist() == pytest.approx([0, 20, 60, 60])
    assert (answer.size, answer.labels.tolist(), answer.scores.tolist()) == ((200, 150), [1, 0], [0.75, 0.5])
    mirrored = answer_of(FOUND, (10, 10, 60, 110), (200, 150), mirrored=True)
    assert mirrored.boxes[0].tolist() == pytest.approx([90, 20, 150, 60])
    without = answer_of(replace(FOUND, masks=None), (0, 0, 1, 1), (1, 1), mirrored=False)
    assert without.masks is None
    assert without.boxes.tolist() == FOUND.boxes.tolist()


@pytest.mark.parametrize("mirrored", [False, True])
def test_masks_are_those_of_torchvision_on_the_original(mirrored: bool) -> None:
    answer = answer_of(FOUND, (0, 0, 60, 80), (160, 120), mirrored=mirrored)
    assert answer.masks is not None
    boxes = torch.from_numpy(answer.boxes)
    assert FOUND.masks is not None
    masks = FOUND.masks.flip(-1) if mirrored else FOUND.masks
    theirs = paste_masks_in_image(masks[:, None], boxes, (160, 120))[:, 0] > 0.5
    assert np.array_equal(decode(answer.masks.tolist(), (160, 120)).astype(bool), theirs.numpy())
    assert theirs.float().mean() > 0.02


@pytest.fixture(scope="module")
def network() -> Detector:
    spec = Detect().model_for(SPEC, 3)
    assert isinstance(spec.head, FasterRCNNHead)
    small = replace(spec.head, pyramid=8, hidden=16, candidates=(50, 50), proposals=(50, 50), min_score=0.0)
    network: Any = Detection().build(replace(spec, head=small))
    initialize(network, seed=0)
    return network.eval()  # type: ignore[no-any-return]


def batch_of(count: int = 2) -> Batch:
    g = torch.Generator().manual_seed(1)
    boxes = (torch.tensor([[5.0, 5, 40, 50], [20, 10, 60, 60], [0, 0, 64, 64]]), torch.zeros(0, 4))
    return Batch(
        {"inputs": torch.randn(count, 3, 64, 96, generator=g), "sizes": torch.tensor([[128, 192], [64, 96]][:count]),
         "mirrored": torch.tensor([False, True][:count])},
        {"boxes": boxes[:count], "labels": (torch.tensor([0, 2, 1]), torch.zeros(0, dtype=torch.int64))[:count],
         "crowds": (torch.tensor([False, False, True]), torch.zeros(0, dtype=torch.bool))[:count]},
    )  # fmt: skip


def test_answers_are_within_their_images_and_limits(network: Detector) -> None:
    task = Detection(Detect(max_boxes=7))
    with torch.no_grad():
        first, second = task.predict(network, batch_of())
    assert (first.size, second.size) == ((128, 192), (64, 96))
    assert 0 < len(first) <= 7
    assert (first.boxes >= 0).all()
    assert (first.boxes[:, [2, 3]] <= [192, 128]).all()
    assert first.boxes.max() > 96
    least = float(np.median(first.scores))
    with torch.no_grad():
        (fewer, _) = Detection(Detect(max_boxes=7, min_score=least)).predict(network, batch_of())
    assert 0 < len(fewer) < len(first)
    assert fewer.scores.min() >= least


def test_the_loss_is_that_of_each_image_alone_and_knows_no_groups(network: Detector) -> None:
    task, batch = Detection(), batch_of()
    objects = objects_of(batch)
    assert [len(each.boxes) for each in objects] == [2, 0]
    losses = task.loss(network, batch)
    assert losses.keys() == {"loss_classifier", "loss_box_reg", "loss_objectness", "loss_rpn_box_reg"}
    assert all(each.shape == (2,) and each.isfinite().all() for each in losses.values())
    assert losses["loss_rpn_box_reg"][0] > 0
    assert losses["loss_rpn_box_reg"][1] == losses["loss_box_reg"][1] == 0
    assert task.weight(batch) is None


def test_the_loss_in_evaluation_is_that_of_the_objects_on_the_input(network: Detector) -> None:
    task, batch = Detection(), batch_of(1)
    doubled = {**batch.ragged, "boxes": (2 * batch.ragged["boxes"][0],)}  # in pixels of the original
    set_rng_keys(network, torch.tensor([5]))
    expected = sum(task.loss(network, batch).values())
    found = task.evaluation_loss(network, Batch(batch.dense, doubled))
    torch.testing.assert_close(found, expected)
    set_rng_keys(network, None)


def test_the_loss_of_a_sample_depends_on_its_number_alone(network: Detector) -> None:
    reader: Any = SimpleNamespace(normalize=lambda inputs: inputs.float())
    predictor = NetworkPredictor(network, Detection(), reader)
    batch = batch_of()
    inputs = [Loaded((each.numpy(),), size=(64, 96)) for each in batch["inputs"]]
    targets = Batch({}, batch.ragged)
    with torch.no_grad():
        both = predictor.losses(inputs, targets, [3, 8])
        (again,) = predictor.losses(inputs[1:], targets.rows(slice(1, 2)), [8])  # type: ignore[misc]
        other = predictor.losses(inputs[:1], targets.rows(slice(0, 1)), [4])
    assert both is not None
    assert other is not None
    assert both.shape == (2,)
    assert both[1] == again
    assert both[0] != other[0]
    others: Any = NetworkPredictor(network, Classification(), reader)
    assert others.losses(inputs, targets, [3, 8]) is None


def test_objects_come_to_the_part_of_the_input_that_shows_the_image() -> None:
    dense = {"inputs": torch.zeros(1, 3, 20, 30), "sizes": torch.tensor([[8, 10]]),
             "regions": torch.tensor([[5.0, 4, 25, 20]])}  # fmt: skip
    masks = torch.zeros(1, 8, 10, dtype=torch.uint8)
    masks[0, 2:4, 1:5] = 1
    found = on_input(Batch(dense, {"boxes": (torch.tensor([[1.0, 2, 5, 4]]),), "masks": (masks,)}))
    assert found.ragged["boxes"][0].tolist() == [[7, 8, 15, 12]]
    (mask,) = found.ragged["masks"]
    assert mask.shape == (1, 20, 30)
    assert mask.sum() == mask[0, 8:12, 7:15].sum() == 32


def test_the_records_and_the_metrics_of_a_batch(network: Detector) -> None:
    truth = random_truth(0, 3, 4)
    answers = answers_near(truth, 3)
    ragged = {name: tuple(torch.from_numpy(each[name]) for each in truth) for name in without_sizes(truth)[0]}
    task = Detection(Detect(category_ids=(7, 3, 90)))
    found = task.evaluate_batch(answers, Batch({}, ragged))
    assert found.keys() == records_of(answers, without_sizes(truth)).keys()
    records = records_of(answers, without_sizes(truth))
    chosen, same = task.choose(records)
    assert same is records
    figures = chosen.metrics(records, CLASSES)
    fitted = chosen.fitted(figures)
    assert fitted.thresholds == chosen.settings.thresholds
    assert [each["threshold"] for each in figures["classes"].values()] == list(fitted.thresholds or ())
    assert Detection(fitted).choose(records)[0].settings == fitted
    precise = replace(task, settings=replace(task.settings, precision=0.75)).choose(records)[0].settings
    assert precise.thresholds is not None
    assert task.metrics(records, CLASSES)["classes"]["ant"]["threshold"] == 0.5


def test_classes_are_numbered_anew() -> None:
    order = np.array([2, 0])
    targets = {"boxes": np.zeros((3, 4)), "labels": np.array([0, 1, 0])}
    assert Detection().reorder(targets, order)["labels"].tolist() == [2, 0, 2]
    assert Detection().reorder({}, order) == {}


def test_the_files_in_formats_of_others_have_the_numbers_of_the_data() -> None:
    truth = random_truth(0, 3, 3)
    records = records_of(answers_near(truth, 3), without_sizes(truth))
    dataset: Any = SimpleNamespace(classes=("cat", "ant"), category_ids=(90, 7), key=lambda number: b"%d.jpg" % number)
    task = Detection(Detect(category_ids=(1, 90, 2)))
    files = task.record_files(records, Subset(dataset, np.arange(3)), np.arange(3), CLASSES)
    assert files["coco_truth.json"]["categories"] == [
        {"id": 7, "name": "ant"}, {"id": 1, "name": "bee"}, {"id": 90, "name": "cat"},
    ]  # fmt: skip
    assert [each["file_name"] for each in files["coco_truth.json"]["images"]] == ["0.jpg", "1.jpg", "2.jpg"]
    by_label = dict(enumerate((7, 1, 90)))
    assert [each["category_id"] for each in files["coco.json"]] == [
        by_label[label] for labels in records["labels"] for label in labels
    ]
    answers = answers_near(truth, 3, masks=True)
    found = task.answer_files([(f"{n}.png", each) for n, each in enumerate(answers)], CLASSES)["coco.json"]
    assert {each["category_id"] for each in found} <= {1, 90, 2}
    assert all(each["file_name"] == f"{each['image_id'] - 1}.png" for each in found)
    assert all(each["segmentation"]["size"] == truth[each["image_id"] - 1]["size"].tolist() for each in found)
    json.dumps(found)
    assert task.answer_files([], CLASSES) == {"coco.json": []}


def test_the_numbers_of_classes_are_never_twice_the_same() -> None:
    dataset: Any = SimpleNamespace(classes=("cat",), category_ids=(1,))
    numbers = categories(dataset, CLASSES, (1, 2, 3))
    assert sorted(numbers.values()) == ["ant", "bee", "cat"]
    assert numbers[1] == "cat"
    without: Any = SimpleNamespace(classes=("bee", "ant"))
    assert categories(without, CLASSES, None) == {2: "ant", 1: "bee", 3: "cat"}


def test_drawn_and_printed_are_the_boxes_from_the_thresholds_on(tmp_path: Path) -> None:
    answer = DetectedImage(
        (40, 40), np.array([[1.0, 1, 20, 20], [5, 5, 30, 30]]), np.array([0.9, 0.4]), np.array([0, 1])
    )
    task = Detection()
    assert len(task.answer_json(answer, CLASSES)["boxes"]) == 2
    assert len(task.answer_lines(answer, CLASSES)) == 1
    assert task.answers([answer], CLASSES, 5) == [answer]
    both = Detection(with_box_limits(Detect(), 3, draw_score=0.4))  # type: ignore[arg-type]
    assert len(both.answer_lines(answer, CLASSES)) == 2
    image = Image.new("RGB", (40, 40))
    for name, each in (("one", task), ("two", both)):
        assert each.write_answer(answer, tmp_path, name, image, CLASSES) == {}
    one, two = (np.asarray(Image.open(tmp_path / f"{name}.drawn.jpg")).astype(int) for name in ("one", "two"))
    assert abs(one - two).max() > 100


def test_boxes_of_crops_are_merged() -> None:
    first = DetectedImage((20, 20), np.array([[0.0, 0, 10, 10], [0, 0, 5, 5]]), np.array([0.8, 0.7]), np.array([0, 0]),
                          np.array(["a", "b"], object))  # fmt: skip
    second = DetectedImage((20, 20), np.array([[0.0, 0, 10, 9], [0, 0, 10, 10]]), np.array([0.9, 0.6]),
                           np.array([0, 1]), np.array(["c", "d"], object))  # fmt: skip
    found = Detection().merge([first, second])
    assert found.masks is not None
    assert found.masks.tolist() == ["c", "b", "d"]  # "a" is "c" again
    assert found.scores.tolist() == [0.9, 0.7, 0.6]
    assert len(Detection(Detect(max_boxes=2)).merge([first, second])) == 2
    empty = first.only(np.zeros(2, bool))
    assert len(Detection().merge([empty, empty])) == 0


def test_an_ensemble_has_what_each_model_finds_under_the_class_of_its_name(network: Detector) -> None:
    """The second model knows the first one's classes 0, 1 and 2 as 2, 0 and 1."""
    reader: Any = SimpleNamespace(normalize=lambda inputs: inputs.float())
    one = NetworkPredictor(network, Detection(), reader)
    sample = Loaded((batch_of(1)["inputs"][0].numpy(),), size=(64, 96))
    with torch.no_grad():
        (alone,) = one.predict([sample])
        (both,) = Ensemble([Member(one, (0, 1, 2)), Member(one, (2, 0, 1))]).predict([[sample, sample]])
    assert len(alone) > 0
    renumbered = replace(alone, labels=np.array([1, 2, 0])[alone.labels])
    expected = Detection().merge([alone, renumbered])
    assert (both.boxes.tolist(), both.labels.tolist()) == (expected.boxes.tolist(), expected.labels.tolist())
    assert both.labels.tolist() != alone.labels.tolist()


def test_the_mirror_image_adds_what_is_found_there_alone(network: Detector) -> None:
    reader: Any = SimpleNamespace(normalize=lambda inputs: inputs.float())
    inputs = batch_of(1)["inputs"][0].numpy()
    once = Loaded((inputs,), size=(64, 96))
    both = Loaded((inputs, inputs[..., ::-1].copy()), (1, 1), (False, True), (64, 96))
    mirrored = Loaded((inputs[..., ::-1].copy(),), mirrored=(True,), size=(64, 96))
    predictor = NetworkPredictor(network, Detection(), reader)
    with torch.no_grad():
        (alone,), (turned,), (found,) = (predictor.predict([each]) for each in (once, mirrored, both))
    assert Detection().merge([alone, turned]).boxes.tolist() == found.boxes.tolist()
    assert len(alone) <= len(found) <= len(alone) + len(turned)


def test_boxes_are_not_averaged() -> None:
    for call in (Detection().to_mean, Detection().from_mean):
        with pytest.raises(UsageError, match="cannot be averaged"):
            call([])


def test_answers_with_masks_and_without_are_not_merged() -> None:
    with_masks, without = (
        answer_of(each, (0, 0, 60, 80), (160, 120), mirrored=False) for each in (FOUND, replace(FOUND, masks=None))
    )
    with pytest.raises(UsageError, match="Some of these detectors find masks"):
        Detection().merge([with_masks, without])


def test_an_ensemble_has_the_thresholds_of_none() -> None:
    assert Detect(thresholds=(0.1, 0.2)).for_ensemble().thresholds is None
    assert MultiLabel(thresholds=(0.1, 0.2)).for_ensemble().thresholds is None
