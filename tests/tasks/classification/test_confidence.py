"""What confidence is worth, against definitions written out and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.calibration
from numpy.typing import NDArray

from resnets.tasks.classification.confidence import (
    area_under_risk_coverage,
    expected_calibration_error,
    reliability,
    selective_accuracy,
    threshold_for,
)
from resnets.tasks.classification.report import confidence_charts


def case(samples: int = 500, *, digits: int = 9) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Answers that are right the more often the surer they are; with few digits, many confidences are equal."""
    g = np.random.default_rng(0)
    confidence = np.round(g.uniform(0.1, 1, samples), digits)
    return g.random(samples) < confidence, confidence


def test_what_is_not_defined_is_none() -> None:
    for figure in (expected_calibration_error, area_under_risk_coverage):
        assert figure(np.array([True]), np.array([np.nan])) is None
        assert figure(np.array([], bool), np.array([])) is None
    assert threshold_for(np.array([False, False]), np.array([0.5, 0.9]), 0.5) is None
    records = {"label": np.array([0]), "predicted": np.array([0]), "confidence": np.array([np.nan])}
    assert confidence_charts(records, {}) is None


def test_the_calibration_error_follows_its_definition() -> None:
    g = np.random.default_rng(0)
    confidence = np.append(g.random(500), [0.0, 1 / 15, 1.0])
    right = np.append(g.random(500) < 0.6, [True, False, True])
    expected = 0.0
    for low, high in ((i / 15, (i + 1) / 15) for i in range(15)):
        inside = (confidence > low) & (confidence <= high) | ((confidence == 0) & (low == 0))
        if inside.any():
            expected += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    assert expected_calibration_error(right, confidence) == pytest.approx(expected)


def test_a_model_that_is_as_sure_as_it_is_right_is_calibrated() -> None:
    right = np.arange(1000) % 4 > 0
    assert expected_calibration_error(right, np.full(1000, 0.75)) == pytest.approx(0)
    assert expected_calibration_error(right, np.full(1000, 1.0)) == pytest.approx(0.25)


def test_the_reliability_diagram_is_scikit_learns() -> None:
    right, confidence = case()
    truth, mean = sklearn.calibration.calibration_curve(right, confidence, n_bins=15)
    confidences, accuracies, counts = reliability(right, confidence)
    np.testing.assert_allclose(confidences, mean, rtol=1e-12)
    np.testing.assert_allclose(accuracies, truth, rtol=1e-12)
    assert counts.sum() == len(right)
    gap = float((counts * abs(confidences - accuracies)).sum() / counts.sum())
    assert expected_calibration_error(right, confidence) == pytest.approx(gap)


@pytest.mark.parametrize("digits", [9, 1])
def test_accuracy_against_coverage_is_that_of_each_threshold(digits: int) -> None:
    right, confidence = case(digits=digits)
    thresholds, coverage, accuracy = selective_accuracy(right, confidence)
    assert thresholds.tolist() == sorted(set(confidence.tolist()), reverse=True)
    for threshold, share, correct in zip(thresholds, coverage, accuracy, strict=True):
        answered = confidence >= threshold
        assert share == answered.mean()
        assert correct == right[answered].mean()
    assert coverage[-1] == 1


def test_the_area_under_risk_and_coverage_is_the_mean_risk() -> None:
    right, confidence = case()
    order = np.argsort(-confidence)
    risks = [1 - right[order][: k + 1].mean() for k in range(len(order))]
    assert area_under_risk_coverage(right, confidence) == pytest.approx(np.mean(risks), abs=1e-12)


def test_equal_confidences_count_as_their_mean_in_any_order() -> None:
    right, confidence = case(digits=1)
    g = np.random.default_rng(1)
    areas = []
    for _ in range(2000):
        order = np.lexsort((g.random(len(right)), -confidence))
        areas.append((1 - right[order].cumsum() / np.arange(1, len(right) + 1)).mean())
    found = area_under_risk_coverage(right, confidence)
    assert found == pytest.approx(np.mean(areas), abs=5 * float(np.std(areas)) / 2000**0.5)
    shuffled = g.permutation(len(right))
    assert area_under_risk_coverage(right[shuffled], confidence[shuffled]) == pytest.approx(found, abs=1e-12)


def test_the_order_of_the_answers_decides_the_area() -> None:
    right = np.array([True, True, False, False])
    best = area_under_risk_coverage(right, np.array([0.9, 0.8, 0.7, 0.6]))
    worst = area_under_risk_coverage(right, np.array([0.6, 0.7, 0.8, 0.9]))
    assert best == pytest.approx((0 + 0 + 1 / 3 + 1 / 2) / 4)
    assert worst == pytest.approx((1 + 1 + 2 / 3 + 1 / 2) / 4)


@pytest.mark.parametrize("wanted", [0.5, 0.7, 0.9])
@pytest.mark.parametrize("digits", [9, 1])
def test_the_threshold_is_the_lowest_with_the_accuracy_that_is_wanted(wanted: float, digits: int) -> None:
    right, confidence = case(digits=digits)
    threshold = threshold_for(right, confidence, wanted)
    assert threshold is not None
    assert right[confidence >= threshold].mean() >= wanted
    for lower in confidence[confidence < threshold]:
        assert right[confidence >= lower].mean() < wanted


def test_the_report_says_what_is_answered_at_which_accuracy() -> None:
    right = np.arange(200) < 150
    confidence = np.linspace(1, 0.5, 200)
    records = {"label": np.zeros(200, np.int64), "predicted": (~right).astype(np.int64), "confidence": confidence}
    charts = confidence_charts(records, {"ece": 0.1})
    assert charts is not None
    # 157 surest answers have 150 right ones, 95.5%; 151 have 99.3%.
    assert "78% are answered, at least 95% of them right" in charts.note
    assert "76% are answered, at least 99% of them right" in charts.note
    assert charts.charts[1].curves[0].points[-1] == pytest.approx((100.0, 75.0))
    all_right = confidence_charts(records | {"predicted": records["label"]}, {"ece": 0.1})
    assert all_right is not None
    assert all_right.note.count("are answered") == 1
    assert "100% are answered, at least 99% of them right" in all_right.note
    many = {name: np.tile(values, 100) for name, values in records.items()}
    many["confidence"] = np.linspace(1, 0.5, 20_000)
    found = confidence_charts(many, {"ece": 0.1})
    assert found is not None
    assert len(found.charts[1].curves[0].points) <= 200
