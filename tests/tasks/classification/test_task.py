"""The task of classification puts its network, loss and metrics together."""

from __future__ import annotations

import torch

from resnets.modalities.batch import Batch
from resnets.models.spec import Spec
from resnets.tasks.base import Task
from resnets.tasks.classification.task import Classification
from tests.tasks.classification.cases import random_case


def test_the_task_builds_the_network_of_its_spec() -> None:
    task: Task = Classification()
    network = task.build(Spec(depths=(1,), widths=(4,), stem="cifar", stem_width=4, classes=3))
    assert network(torch.zeros(2, 3, 8, 8)).shape == (2, 3)
    assert task.settings.name == "classification"


def test_labels_are_smoothed_in_training_and_not_in_evaluation() -> None:
    logits, labels = random_case()
    smoothed, plain = Classification(label_smoothing=0.1), Classification()
    batch = Batch({"inputs": logits, "labels": labels})
    (losses,) = plain.loss(torch.nn.Identity(), batch).values()
    assert not torch.allclose(smoothed.loss(torch.nn.Identity(), batch)["loss"], losses)
    torch.testing.assert_close(smoothed.evaluate_batch(logits, batch)["loss"], losses)


def test_the_metrics_are_those_of_the_records() -> None:
    logits, labels = random_case(3)
    task = Classification()
    records = {name: value.numpy() for name, value in task.evaluate_batch(logits, Batch({"labels": labels})).items()}
    found = task.metrics(records, ("a", "b", "c"))
    assert found["accuracy"] == sum((logits.argmax(1) == labels).tolist()) / len(labels)
    assert list(found["classes"]) == ["a", "b", "c"]
