"""The temperature of a classifier, against scipy and scikit-learn, and the answers that it withholds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.optimize
import sklearn.metrics
import torch
import torch.nn.functional as F
from torch import Tensor

from resnets.core.errors import UsageError
from resnets.modalities.batch import Batch
from resnets.tasks.base import SampleRecords
from resnets.tasks.classification.settings import Classify
from resnets.tasks.classification.task import Classification
from resnets.tasks.classification.temperature import MOST, fit_temperature
from tests.tasks.classification.cases import random_case

NAMES = ("a", "b", "c", "d", "e", "f")


def sure_case(factor: float, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Logits whose softmax at the temperature `factor` is the probability by which labels were drawn."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(5000, len(NAMES), generator=generator)
    labels = torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0]
    return factor * logits, labels


def chosen_on(task: Classification, logits: Tensor, labels: Tensor) -> tuple[Classification, SampleRecords]:
    recorded = task.evaluate_batch(logits, Batch({"labels": labels}), choose=True)
    return task.choose({name: values.numpy() for name, values in recorded.items()})


def records_of(task: Classification, logits: Tensor, labels: Tensor) -> SampleRecords:
    return {name: v.numpy() for name, v in task.evaluate_batch(logits, Batch({"labels": labels})).items()}


def by_scipy(logits: Tensor, labels: Tensor) -> float:
    """The temperature of the least log loss of scikit-learn."""
    every = list(range(logits.shape[1]))

    def loss(logarithm: float) -> float:
        probabilities = F.softmax(logits.double() / np.exp(logarithm), 1).numpy()
        return float(sklearn.metrics.log_loss(labels.numpy(), probabilities, labels=every))

    found = scipy.optimize.minimize_scalar(loss, bounds=(-4, 4), method="bounded", options={"xatol": 1e-10})
    return float(np.exp(found.x))


@pytest.mark.parametrize("factor", [0.2, 1.0, 3.0, 20.0])
def test_the_temperature_is_that_of_the_least_log_loss(factor: float) -> None:
    logits, labels = sure_case(factor)
    found = fit_temperature(logits.numpy(), labels.numpy())
    assert found == pytest.approx(by_scipy(logits, labels), rel=1e-6)
    assert found == pytest.approx(factor, rel=0.1)


def test_logits_of_any_size_have_a_temperature() -> None:
    logits, labels = random_case(100)
    found = fit_temperature((1e6 * logits).numpy(), labels.numpy())
    assert found == pytest.approx(MOST)  # they are no better than chance, and would be higher yet
    offset = fit_temperature((logits + 1e4).numpy().astype(np.float32), labels.numpy())
    assert offset == pytest.approx(fit_temperature(logits.numpy(), labels.numpy()), rel=0.05)


def test_there_is_no_temperature_where_all_are_right_or_nothing_is_known() -> None:
    labels = torch.arange(6)
    assert fit_temperature(F.one_hot(labels).float().numpy(), labels.numpy()) is None
    assert fit_temperature(np.zeros((0, 6), np.float32), np.zeros(0, np.int64)) is None
    broken = torch.full((6, 6), torch.nan)
    assert fit_temperature(broken.numpy(), labels.numpy()) is None
    task, records = chosen_on(Classification(), F.one_hot(labels).float(), labels)
    assert task.settings == Classify()
    assert records.keys() == records_of(Classification(), F.one_hot(labels).float(), labels).keys()


def test_a_temperature_calibrates_and_never_changes_an_answer() -> None:
    logits, labels = sure_case(3.0)
    task, records = chosen_on(Classification(), logits, labels)
    found = task.metrics(records, NAMES)
    plain = Classification().metrics(records_of(Classification(), logits, labels), NAMES)
    assert task.settings.temperature is not None
    assert found["temperature"] == task.settings.temperature
    assert found["ece_uncalibrated"] == plain["ece"] > 0.1
    assert found["ece"] < 0.02
    changed = {"ece", "ece_uncalibrated", "temperature"}
    assert {k: v for k, v in found.items() if k not in changed} == {k: v for k, v in plain.items() if k != "ece"}

    fitted = Classification(settings=task.fitted(found))
    assert fitted.metrics(records_of(fitted, logits, labels), NAMES) == found
    answers, before = (each.answers(logits, NAMES, 6) for each in (fitted, Classification()))
    assert [[name for name, _ in each] for each in answers] == [[name for name, _ in each] for each in before]
    assert [each[0][1] for each in answers] == records["confidence"].tolist()
    expected = F.softmax(logits.double() / task.settings.temperature, 1).max(1).values
    np.testing.assert_allclose(records["confidence"], expected.numpy(), rtol=1e-5)


def test_the_loss_and_the_area_under_the_curve_are_those_of_the_logits() -> None:
    logits, labels = random_case(2)
    hot = Classification(settings=Classify(temperature=0.01))
    plain = Classification().metrics(records_of(Classification(), logits, labels), ("a", "b"))
    found = hot.metrics(records_of(hot, logits, labels), ("a", "b"))
    assert (found["loss"], found["auc"]) == (plain["loss"], plain["auc"])


def test_a_given_temperature_is_kept() -> None:
    logits, labels = sure_case(3.0)
    task, records = chosen_on(Classification(settings=Classify(temperature=2.0)), logits, labels)
    assert task.settings.temperature == 2
    expected = F.softmax(logits / 2, 1).max(1).values
    np.testing.assert_allclose(records["confidence"], expected.numpy(), rtol=1e-6)


def test_the_threshold_gives_the_wanted_accuracy_and_no_lower_one_does() -> None:
    logits, labels = sure_case(3.0)
    task, records = chosen_on(Classification(settings=Classify(answered_accuracy=0.9)), logits, labels)
    found = task.metrics(records, NAMES)
    assert found["answered_accuracy"] >= 0.9
    right, confidence = records["label"] == records["predicted"], records["confidence"].astype(np.float64)
    assert found["coverage"] == (confidence >= found["unknown_below"]).mean()
    assert 0.1 < found["coverage"] < 0.9
    for lower in np.unique(confidence[confidence < found["unknown_below"]]):
        assert right[confidence >= lower].mean() < 0.9
    fitted = Classification(settings=task.fitted(found))
    assert fitted.metrics(records_of(fitted, logits, labels), NAMES) == found
    given = [fitted.answer_json(each, NAMES)["unknown"] for each in fitted.answers(logits, NAMES, 1)]
    assert np.mean(given) == pytest.approx(1 - found["coverage"])
    assert fitted.columns(records, NAMES)["unknown"] == given


def test_an_accuracy_that_no_threshold_gives_withholds_every_answer() -> None:
    logits, _ = sure_case(3.0)
    wrong = (logits.argmax(1) + 1) % 6
    task, records = chosen_on(Classification(settings=Classify(answered_accuracy=0.9)), logits, wrong)
    found = task.metrics(records, NAMES)
    assert (found["unknown_below"], found["coverage"], found["answered_accuracy"]) == (1, 0, None)
    assert any("coverage" in line for line in task.lines(found, "val"))


def test_an_answer_says_that_it_is_unknown() -> None:
    task = Classification(settings=Classify(unknown_below=0.7))
    sure, unsure, broken = task.answers(torch.tensor([[3.0, 0], [0.5, 0], [torch.nan, 0]]), ("x", "y"), 2)
    assert task.answer_json(sure, ("x", "y"))["unknown"] is False
    assert task.answer_json(unsure, ("x", "y"))["unknown"] is True
    assert task.answer_json(broken, ("x", "y"))["unknown"] is True
    assert "unknown" not in Classification().answer_json(unsure, ("x", "y"))
    assert task.answer_lines(sure, ("x", "y")) == ["   95.26%  x", "    4.74%  y"]
    assert task.answer_lines(unsure, ("x", "y"))[0] == "  unknown  (no class has 70.00%)"


def test_settings_out_of_their_range_are_refused() -> None:
    wrong_ones: list[dict[str, Any]] = [
        {"temperature": 0.0}, {"unknown_below": 1.5}, {"answered_accuracy": 0.0}, {"unknown_below": -0.1},
    ]  # fmt: skip
    for wrong in wrong_ones:
        with pytest.raises(UsageError, match=r"must be|from 0 to 1"):
            Classify(**wrong)


def test_what_was_fitted_to_one_network_is_not_for_an_ensemble_or_other_classes() -> None:
    fitted = Classify(temperature=2.0, unknown_below=0.8, answered_accuracy=0.99)
    given = Classify(temperature=2.0, unknown_below=0.8)
    for method in (Classify.for_ensemble, Classify.for_other_classes):
        assert method(fitted) == Classify(answered_accuracy=0.99)
        assert method(given) == Classify(unknown_below=0.8)
