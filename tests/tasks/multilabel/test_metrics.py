"""The metrics of multi-label classification, against scikit-learn's and against every threshold tried."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import sklearn.metrics
import torch
from numpy.typing import NDArray

from resnets.tasks.multilabel.loss import binary_cross_entropy
from resnets.tasks.multilabel.metrics import average_precision, best_threshold, best_thresholds, evaluate_batch, metrics
from tests.tasks.multilabel.cases import batch_of, random_case, recorded

NAMES = tuple("abcdef")


@pytest.mark.parametrize("ties", [False, True])
def test_metrics_are_scikit_learns(ties: bool) -> None:
    logits, labels = random_case(ties=ties)
    found = metrics(recorded(logits, labels), NAMES)
    truth, score = labels.numpy(), torch.sigmoid(logits.double()).numpy()
    predicted = score >= 0.5
    ap = [sklearn.metrics.average_precision_score(truth[:, k], score[:, k]) for k in range(5)]
    f1 = sklearn.metrics.f1_score(truth, predicted, average=None, zero_division=0)
    precision, recall = (
        measure(truth, predicted, average=None, zero_division=0)
        for measure in (sklearn.metrics.precision_score, sklearn.metrics.recall_score)
    )
    assert found["map"] == pytest.approx(np.mean(ap), abs=1e-12)
    assert found["micro_f1"] == pytest.approx(sklearn.metrics.f1_score(truth, predicted, average="micro"))
    assert found["macro_f1"] == pytest.approx(f1.mean())
    assert found["samples"] == len(labels)
    for k, name in enumerate(NAMES):
        assert found["classes"][name] == {
            "ap": pytest.approx(ap[k], abs=1e-12) if k < 5 else None,
            "precision": pytest.approx(precision[k]),
            "recall": pytest.approx(recall[k]),
            "f1": pytest.approx(f1[k]),
            "support": labels[:, k].sum(),
            "threshold": 0.5,
        }
    assert json.loads(json.dumps(found)) == found


def test_a_class_that_is_neither_there_nor_predicted_is_in_no_mean() -> None:
    logits, labels = random_case()
    logits[:, -1] = -9
    found = metrics(recorded(logits, labels), NAMES)
    predicted = logits.numpy() > 0
    expected = sklearn.metrics.f1_score(labels, predicted, average="macro", zero_division=np.nan)
    assert found["macro_f1"] == pytest.approx(expected)


def test_the_loss_is_that_of_training_without_smoothing() -> None:
    logits, labels = random_case()
    expected = binary_cross_entropy(logits, batch_of(labels)).double().mean()
    assert metrics(recorded(logits, labels), NAMES)["loss"] == pytest.approx(float(expected))


def test_large_logits_keep_their_order() -> None:
    logits = torch.tensor([[20.0], [19.0], [18.0]])
    labels = torch.tensor([[0], [1], [1]])
    # In float32 all three have probability 1, and the average precision would be 2/3.
    assert metrics(recorded(logits, labels), ("a",))["map"] == pytest.approx((1 / 2 + 2 / 3) / 2)


def test_without_a_positive_sample_there_is_no_mean() -> None:
    found = metrics(recorded(torch.zeros(3, 2), torch.zeros(3, 2, dtype=torch.uint8)), ("a", "b"))
    assert found["map"] is None
    assert average_precision(np.zeros(3, bool), np.arange(3.0)) is None


def test_nan_counts_as_the_wrong_answer() -> None:
    logits = torch.tensor([[3.0], [math.nan], [-1.0], [math.nan]])
    labels = torch.tensor([[1], [1], [0], [0]])
    found = metrics(recorded(logits, labels), ("a",))
    # The negative NaN ranks first, the positive one last.
    assert found["map"] == pytest.approx((1 / 2 + 2 / 4) / 2)
    assert (found["classes"]["a"]["precision"], found["classes"]["a"]["recall"]) == (0.5, 0.5)


def test_data_without_the_last_classes_has_no_sample_of_them() -> None:
    logits, labels = random_case()
    whole, cut = evaluate_batch(logits, labels), evaluate_batch(logits, labels[:, :-1])
    for name, values in whole.items():
        torch.testing.assert_close(cut[name], values)


def f1_at(positive: NDArray[np.bool_], score: NDArray[np.float64], threshold: float) -> float:
    return float(sklearn.metrics.f1_score(positive, score >= threshold, zero_division=0))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("digits", [1, 3, 16])
def test_the_best_threshold_has_the_highest_f1_of_all(seed: int, digits: int) -> None:
    generator = np.random.default_rng(seed)
    positive = generator.random(60) < 0.4
    score: NDArray[np.float64] = np.round(0.4 * generator.random(60) + 0.3 * positive, digits).astype(np.float64)
    best = max(f1_at(positive, score, threshold) for threshold in score)
    assert f1_at(positive, score, best_threshold(positive, score)) == pytest.approx(best)


def test_the_best_threshold_lies_midway() -> None:
    positive = np.array([False, True, True, False])
    assert best_threshold(positive, np.array([0.2, 0.6, 0.9, 0.4])) == pytest.approx(0.5)
    assert best_threshold(positive, np.array([0.2, 0.1, 0.9, 0.8])) == pytest.approx(0.85)  # the highest of two
    assert best_threshold(np.array([True, True]), np.array([0.2, 0.1])) == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("positive", "score"), [([False, False], [0.1, 0.9]), ([True, False], [0.3, 0.3]), ([True], [0.9])]
)
def test_a_threshold_without_anything_to_choose_by_is_a_half(positive: list[bool], score: list[float]) -> None:
    assert best_threshold(np.array(positive), np.array(score)) == 0.5


def test_a_threshold_between_neighbouring_floats_takes_in_the_higher() -> None:
    low = 0.3
    high = math.nextafter(low, 1)
    threshold = best_threshold(np.array([True, False]), np.array([high, low]))
    assert low < threshold <= high


def test_chosen_thresholds_are_the_best_of_each_class() -> None:
    records = recorded(*random_case())
    thresholds = best_thresholds(records)
    chosen = metrics(records, NAMES, thresholds)
    for k, name in enumerate(NAMES):
        expected = best_threshold(records["labels"][:, k].astype(bool), records["probability"][:, k])
        assert chosen["classes"][name]["threshold"] == expected
    assert chosen["macro_f1"] > metrics(records, NAMES)["macro_f1"]
    assert chosen["map"] == metrics(records, NAMES)["map"]
