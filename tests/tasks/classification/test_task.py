"""Classification: losses as torch's, metrics as scikit-learn's."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import accuracy_score, confusion_matrix, precision_recall_fscore_support, top_k_accuracy_score
from torch import Tensor

from resnets.models.spec import Spec
from resnets.tasks.base import SampleRecords, Task
from resnets.tasks.classification.task import Classification, confusion

TASK = Classification()
NAN, INF = math.nan, math.inf


def random_case(classes: int = 7, samples: int = 400) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(classes)
    labels = torch.randint(classes - 1, (samples,), generator=generator)  # the last class has no samples
    logits = torch.randn(samples, classes, generator=generator)
    logits[torch.arange(samples), labels] += 1
    logits[:, 0] -= 9 * (classes > 2)  # and the first is hardly ever predicted
    return logits, labels


def evaluate_batch(logits: Tensor, labels: Tensor) -> SampleRecords:
    return {name: value.numpy() for name, value in TASK.evaluate_batch(logits, labels).items()}


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
def test_the_loss_is_cross_entropy_for_each_sample(smoothing: float) -> None:
    logits, labels = random_case()
    expected = torch.stack(
        [F.cross_entropy(x[None], y[None], label_smoothing=smoothing) for x, y in zip(logits, labels, strict=True)]
    )
    losses = Classification(label_smoothing=smoothing).loss(logits, {"labels": labels})
    torch.testing.assert_close(losses, expected)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_of_mixed_images_is_that_of_mixed_labels(smoothing: float) -> None:
    logits, labels = random_case()
    partners, lam = labels.roll(1), torch.rand(len(labels), generator=torch.Generator().manual_seed(0))
    lam[:2] = torch.tensor([0.0, 1.0])
    own, other = (F.one_hot(y, 7).float() for y in (labels, partners))
    soft = lam[:, None] * own + (1 - lam[:, None]) * other
    expected = F.cross_entropy(logits, soft, reduction="none", label_smoothing=smoothing)
    batch = {"labels": labels, "partner_labels": partners, "lam": lam}
    torch.testing.assert_close(Classification(label_smoothing=smoothing).loss(logits, batch), expected)


def test_the_loss_of_half_precision_logits_is_taken_in_float32() -> None:
    logits, labels = random_case()
    losses = TASK.loss(logits.bfloat16(), {"labels": labels})
    assert losses.dtype == torch.float32
    torch.testing.assert_close(losses, F.cross_entropy(logits.bfloat16().float(), labels, reduction="none"))


@pytest.mark.parametrize("classes", [2, 3, 7, 100])
def test_metrics_are_scikit_learns(classes: int) -> None:
    logits, labels = random_case(classes)
    names = tuple(f"class {i}" for i in range(classes))
    every = list(range(classes))
    truth, predicted = labels.numpy(), logits.numpy().argmax(1)
    metrics = TASK.metrics(evaluate_batch(logits, labels), names)

    assert metrics["accuracy"] == pytest.approx(accuracy_score(truth, predicted), abs=1e-15)
    if classes > 5:
        assert metrics["top5"] == pytest.approx(top_k_accuracy_score(truth, logits.numpy(), k=5, labels=every))
    else:
        assert metrics["top5"] == 1
    assert metrics["loss"] == pytest.approx(float(F.cross_entropy(logits.double(), labels)), rel=1e-6)
    assert metrics["samples"] == len(labels)
    columns = precision_recall_fscore_support(truth, predicted, labels=every, zero_division=0)
    for name, precision, recall, f1, support in zip(names, *columns, strict=True):
        assert metrics["classes"][name] == pytest.approx(
            {"precision": precision, "recall": recall, "f1": f1, "support": support}
        )
    np.testing.assert_array_equal(
        confusion(evaluate_batch(logits, labels), classes), confusion_matrix(truth, predicted, labels=every)
    )
    assert json.loads(json.dumps(metrics)) == metrics


def test_a_record_says_what_the_network_thought() -> None:
    logits = torch.tensor([[0.0, math.log(3.0)], [0.0, math.log(3.0)]])
    records = evaluate_batch(logits, torch.tensor([1, 0]))
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
    records = evaluate_batch(torch.tensor([logits]), torch.tensor([label]))
    assert (records["predicted"][0], records["rank"][0]) == (predicted, rank)


@pytest.mark.parametrize(
    "logits", [[NAN] * 3, [NAN, 5.0, 1.0], [5.0, NAN, 1.0], [1.0, 5.0, NAN], [INF, NAN, 0.0], [-INF, -INF, NAN]]
)
@pytest.mark.parametrize("label", [0, 1, 2])
def test_what_is_no_number_is_right_nowhere(logits: list[float], label: int) -> None:
    records = evaluate_batch(torch.tensor([logits]), torch.tensor([label]))
    metrics = TASK.metrics(records, ("a", "b", "c"))
    assert metrics["accuracy"] == 0
    assert [c["recall"] for c in metrics["classes"].values()] == [0, 0, 0]
    assert np.trace(confusion(records, 3)) == 0


def test_every_figure_agrees_on_what_is_right() -> None:
    logits = torch.randint(-1, 2, (500, 4), generator=torch.Generator().manual_seed(1)).float()
    logits[::7, 1] = NAN
    labels = torch.randint(4, (500,), generator=torch.Generator().manual_seed(2))
    records = evaluate_batch(logits, labels)
    assert np.trace(confusion(records, 4)) == (records["rank"] == 0).sum()


def test_the_task_builds_the_network_of_its_spec() -> None:
    task: Task = TASK
    network = task.build(Spec(depths=(1,), widths=(4,), stem="cifar", stem_width=4, classes=3))
    assert network(torch.zeros(2, 3, 8, 8)).shape == (2, 3)
    assert task.name == "classification"
