"""The metrics of classification, against scikit-learn's."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import sklearn.metrics
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from resnets.tasks.base import SampleRecords
from resnets.tasks.classification.metrics import (
    area_under_roc,
    confusion_matrix,
    evaluate_batch,
    metrics,
)
from tests.tasks.classification.cases import random_case

NAN, INF = math.nan, math.inf


def recorded(logits: Tensor, labels: Tensor) -> SampleRecords:
    return {name: value.numpy() for name, value in evaluate_batch(logits, labels).items()}


@pytest.mark.parametrize("classes", [2, 3, 7, 100])
def test_metrics_are_scikit_learns(classes: int) -> None:
    logits, labels = random_case(classes)
    names = tuple(f"class {i}" for i in range(classes))
    every = list(range(classes))
    truth, predicted = labels.numpy(), logits.numpy().argmax(1)
    found = metrics(recorded(logits, labels), names)

    assert found["accuracy"] == pytest.approx(sklearn.metrics.accuracy_score(truth, predicted), abs=1e-15)
    if classes > 5:
        assert found["top5"] == pytest.approx(
            sklearn.metrics.top_k_accuracy_score(truth, logits.numpy(), k=5, labels=every)
        )
    else:
        assert found["top5"] == 1
    assert found["loss"] == pytest.approx(float(F.cross_entropy(logits.double(), labels)), rel=1e-6)
    assert found["samples"] == len(labels)
    columns = sklearn.metrics.precision_recall_fscore_support(truth, predicted, labels=every, zero_division=0)
    for name, precision, recall, f1, support in zip(names, *columns, strict=True):
        assert found["classes"][name] == pytest.approx(
            {"precision": precision, "recall": recall, "f1": f1, "support": support}
        )
    np.testing.assert_array_equal(
        confusion_matrix(recorded(logits, labels), classes),
        sklearn.metrics.confusion_matrix(truth, predicted, labels=every),
    )
    assert json.loads(json.dumps(found)) == found


def test_records_are_of_each_sample() -> None:
    logits = torch.tensor([[0.0, math.log(3.0)], [0.0, math.log(3.0)]])
    records = recorded(logits, torch.tensor([1, 0]))
    assert records["predicted"].tolist() == [1, 1]
    assert records["rank"].tolist() == [0, 1]
    assert records["confidence"].tolist() == pytest.approx([0.75, 0.75])
    assert records["loss"].tolist() == pytest.approx([-math.log(0.75), -math.log(0.25)])


@pytest.mark.parametrize(
    ("logits", "label", "predicted", "rank"),
    [
        ([1.0, 1.0, 0.0], 0, 0, 0),
        ([1.0, 1.0, 0.0], 1, 0, 1),
        ([1.0, 1.0, 0.0], 2, 0, 2),
        ([0.0, 0.0, 0.0], 2, 0, 2),
        ([0.0, 1e-9, 0.0], 1, 1, 0),  # equal as probabilities in float32
        ([INF, INF, 0.0], 1, 0, 1),
        ([-INF, -INF, -INF], 0, 0, 0),
    ],
)
def test_of_equal_logits_the_lower_class_ranks_first(
    logits: list[float], label: int, predicted: int, rank: int
) -> None:
    records = recorded(torch.tensor([logits]), torch.tensor([label]))
    assert (records["predicted"][0], records["rank"][0]) == (predicted, rank)


@pytest.mark.parametrize(
    "logits", [[NAN] * 3, [NAN, 5.0, 1.0], [5.0, NAN, 1.0], [1.0, 5.0, NAN], [INF, NAN, 0.0], [-INF, -INF, NAN]]
)
@pytest.mark.parametrize("label", [0, 1, 2])
def test_a_sample_with_a_nan_logit_never_counts_as_correct(logits: list[float], label: int) -> None:
    records = recorded(torch.tensor([logits]), torch.tensor([label]))
    found = metrics(records, ("a", "b", "c"))
    assert found["accuracy"] == 0
    assert [c["recall"] for c in found["classes"].values()] == [0, 0, 0]
    assert np.trace(confusion_matrix(records, 3)) == 0


def test_records_and_confusion_matrix_agree_on_what_is_correct() -> None:
    logits = torch.randint(-1, 2, (500, 4), generator=torch.Generator().manual_seed(1)).float()
    logits[::7, 1] = NAN
    labels = torch.randint(4, (500,), generator=torch.Generator().manual_seed(2))
    records = recorded(logits, labels)
    assert np.trace(confusion_matrix(records, 4)) == (records["rank"] == 0).sum()


def of_probabilities(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> SampleRecords:
    return recorded(torch.from_numpy(np.log(probabilities)), torch.from_numpy(labels))


@pytest.mark.filterwarnings("ignore:y_pred contains classes")  # scikit-learn's
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("classes", "seen"), [(2, 2), (3, 3), (7, 4)])
def test_means_over_classes_are_scikit_learns(classes: int, seen: int, seed: int) -> None:
    g = np.random.default_rng([classes, seed])
    labels, probabilities = g.integers(0, seen, 60), g.dirichlet(np.ones(classes), 60)
    predicted = probabilities.argmax(1)
    found = metrics(of_probabilities(probabilities, labels), tuple(f"class {i}" for i in range(classes)))
    assert found["macro_f1"] == pytest.approx(sklearn.metrics.f1_score(labels, predicted, average="macro"))
    assert found["balanced_accuracy"] == pytest.approx(sklearn.metrics.balanced_accuracy_score(labels, predicted))


@pytest.mark.parametrize("seed", range(5))
def test_auc_of_two_classes_is_that_of_scikit_learn(seed: int) -> None:
    g = np.random.default_rng(seed)
    labels = g.integers(0, 2, 200)
    second = np.round(g.random(200) * 0.98 + 0.01, 2)  # with equal ones among them
    found = metrics(of_probabilities(np.stack([1 - second, second], 1), labels), ("no", "yes"))
    assert found["auc"] == pytest.approx(sklearn.metrics.roc_auc_score(labels, second), abs=1e-12)


def test_auc_is_of_two_classes_only() -> None:
    found = metrics(of_probabilities(np.full((3, 3), 1 / 3), np.arange(3)), ("a", "b", "c"))
    assert "auc" not in found


def test_what_is_not_defined_is_none() -> None:
    assert area_under_roc(np.array([True, True]), np.array([0.1, 0.2])) is None
    assert area_under_roc(np.array([True, False]), np.array([np.nan, 0.2])) is None


def test_the_confidence_without_temperature_is_there_with_and_without_one() -> None:
    """So that folds of which one has no temperature are evaluated together."""
    logits, labels = torch.randn(6, 3, generator=torch.Generator().manual_seed(0)), torch.arange(6) % 3
    plain, calibrated = (evaluate_batch(logits, labels, temperature) for temperature in (None, 2.0))
    assert torch.equal(plain["uncalibrated_confidence"], plain["confidence"])
    assert torch.equal(plain["uncalibrated_confidence"], calibrated["uncalibrated_confidence"])
    assert not torch.equal(calibrated["confidence"], plain["confidence"])


def test_auc_tells_sure_answers_apart() -> None:
    """Of which the probabilities are 0 and 1 in float32."""
    margins = torch.tensor([-40.0, -30.0, -18.0, -20.0, 25.0, 40.0])
    labels = torch.tensor([0, 0, 1, 0, 1, 1])
    records = recorded(torch.stack([torch.zeros(6), margins], 1), labels)
    assert metrics(records, ("no", "yes"))["auc"] == 1.0
    assert sklearn.metrics.roc_auc_score(labels, margins) == 1.0
