"""Mean IoU and its parts against torchmetrics."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torchmetrics.classification import MulticlassAccuracy, MulticlassJaccardIndex

from resnets.tasks.segmentation import metrics as module
from resnets.tasks.segmentation.metrics import evaluate_batch, iou_by_sample, metrics

CLASSES = 5
NAMES = ("sky", "road", "tree", "car", "sign")


@pytest.fixture(autouse=True, params=[module.BAND, 20])
def band(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Images of one band, and of many: a band of 20 pixels has one to two rows of the images here."""
    monkeypatch.setattr(module, "BAND", request.param)


def random_masks(
    seed: int = 0, *, without: tuple[int, ...] = (), count: int = 6
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Logits and masks of several sizes; classes of `without` are neither true nor predicted."""
    g = torch.Generator().manual_seed(seed)
    logits, masks = [], []
    for number in range(count):
        size = (7 + number, 9 + 2 * number)
        one = torch.randn(CLASSES, *size, generator=g)
        one[list(without)] = -50
        mask = torch.randint(0, CLASSES, size, generator=g)
        mask[torch.isin(mask, torch.tensor(without))] = 3
        mask = torch.where(torch.rand(size, generator=g) < 0.4, one.argmax(0), mask)
        mask[torch.rand(size, generator=g) < 0.2] = 255
        logits.append(one)
        masks.append(mask.to(torch.uint8))
    return logits, masks


def records_of(logits: list[torch.Tensor], masks: list[torch.Tensor]) -> dict[str, Any]:
    return {name: values.numpy() for name, values in evaluate_batch(logits, masks).items()}


@pytest.mark.parametrize("without", [(), (2,), (0, 4)])
def test_they_are_torchmetrics(without: tuple[int, ...]) -> None:
    logits, masks = random_masks(without=without)
    ours = metrics(records_of(logits, masks), NAMES)
    how: dict[str, Any] = {"num_classes": CLASSES, "ignore_index": 255}
    by_class = MulticlassJaccardIndex(average=None, zero_division=float("nan"), **how)
    mean = MulticlassJaccardIndex(average="macro", **how)
    right = MulticlassAccuracy(average="micro", **how)
    for one, mask in zip(logits, masks, strict=True):
        for metric in (by_class, mean, right):
            metric.update(one[None], mask[None].long())
    found = by_class.compute().tolist()
    for number, name in enumerate(NAMES):
        value = ours["classes"][name]["iou"]
        if number in without:
            assert value is None
        else:
            assert value == pytest.approx(found[number], abs=1e-6)
    assert ours["miou"] == pytest.approx(float(mean.compute()), abs=1e-6)
    assert ours["pixel_accuracy"] == pytest.approx(float(right.compute()), abs=1e-6)
    assert ours["absent"] == [NAMES[number] for number in without]


def test_the_loss_is_the_mean_over_all_pixels_that_count() -> None:
    logits, masks = random_masks()
    ours = metrics(records_of(logits, masks), NAMES)
    total = sum(
        F.cross_entropy(one[None].double(), mask[None].long(), ignore_index=255, reduction="sum")
        for one, mask in zip(logits, masks, strict=True)
    )
    pixels = sum(int((mask != 255).sum()) for mask in masks)
    assert ours["loss"] == pytest.approx(float(total) / pixels, rel=1e-6)
    assert (ours["pixels"], ours["samples"]) == (pixels, len(masks))
    assert sum(each["pixels"] for each in ours["classes"].values()) == pixels


def test_a_mean_by_hand() -> None:
    predicted = torch.tensor([[0, 0, 1, 1]])
    mask = torch.tensor([[0, 1, 1, 255]], dtype=torch.uint8)
    logits = F.one_hot(predicted, 3).permute(2, 0, 1).float()
    found = metrics(records_of([logits], [mask]), ("a", "b", "c"))
    assert found["classes"]["a"]["iou"] == 1 / 2  # of two pixels that are or are predicted "a", one is both
    assert found["classes"]["b"]["iou"] == 1 / 2  # what is predicted where nothing counts is no error
    assert found["classes"]["c"]["iou"] is None
    assert (found["miou"], found["pixel_accuracy"], found["absent"]) == (1 / 2, 2 / 3, ["c"])


def test_where_all_is_void_there_are_no_figures() -> None:
    logits, masks = torch.zeros(3, 2, 2), torch.full((2, 2), 255, dtype=torch.uint8)
    records = records_of([logits], [masks])
    found = metrics(records, ("a", "b", "c"))
    assert (found["miou"], found["pixel_accuracy"], found["loss"]) == (None, None, None)
    assert found["absent"] == ["a", "b", "c"]
    assert np.isnan(iou_by_sample(records)).all()


def test_a_nan_is_never_right() -> None:
    logits = torch.zeros(3, 1, 2)
    logits[:, 0, 0] = float("nan")
    for value in range(3):
        mask = torch.full((1, 2), value, dtype=torch.uint8)
        assert records_of([logits], [mask])["intersection"].sum() == (1 if value == 0 else 0)


def test_each_image_has_the_mean_of_its_own_classes() -> None:
    logits, masks = random_masks(count=3)
    together = iou_by_sample(records_of(logits, masks))
    for row in range(3):
        alone = metrics(records_of(logits[row : row + 1], masks[row : row + 1]), NAMES)
        assert together[row] == pytest.approx(alone["miou"])
