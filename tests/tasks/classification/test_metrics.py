"""The metrics of classification, against scikit-learn's."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import sklearn.metrics
import torch
import torch.nn.functional as F
from torch import Tensor

from resnets.tasks.base import SampleRecords
from resnets.tasks.classification.metrics import confusion_matrix, evaluate_batch, metrics
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
