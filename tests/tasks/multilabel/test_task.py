"""The task of multi-label classification: settings, thresholds, means, answers and what is shown."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from resnets.core.config import decode, encode
from resnets.core.errors import UsageError
from resnets.models.heads import FCNHead
from resnets.models.spec import Spec
from resnets.tasks.base import Task
from resnets.tasks.catalog import find, for_data, open_task
from resnets.tasks.classification.settings import Classify
from resnets.tasks.multilabel.answers import join
from resnets.tasks.multilabel.settings import MultiLabel
from resnets.tasks.multilabel.task import MultiLabelClassification
from resnets.tasks.sections import Gallery, Table
from tests.tasks.multilabel.cases import batch_of, random_case, recorded

NAMES = tuple("abcdef")
SPEC = Spec(depths=(1,), widths=(4,), stem="cifar", stem_width=4)


def test_the_catalogue_opens_the_task() -> None:
    settings = find("multi-label")
    assert settings == MultiLabel()
    task: Task = open_task(MultiLabel(thresholds=(0.25,)), label_smoothing=0.1)
    assert isinstance(task, MultiLabelClassification)
    assert (task.settings, task.label_smoothing) == (MultiLabel(thresholds=(0.25,)), 0.1)
    assert settings.metrics[0].name == "map"


def test_data_decides_the_task_where_the_recipe_names_none() -> None:
    assert for_data("multi-label", Classify()) == MultiLabel()
    named = MultiLabel(thresholds=(0.25,))
    assert for_data("multi-label", named) is named
    with pytest.raises(UsageError, match=r"data is for classification, .* is multi-label: .*task=Classify"):
        for_data("classification", named)


def test_settings_survive_json() -> None:
    settings = MultiLabel(thresholds=(0.25, 0.1 + 0.2))
    assert decode(MultiLabel, json.loads(json.dumps(encode(settings)))) == settings


@pytest.mark.parametrize("thresholds", [(0.5, 1.5), (-0.1,), (float("nan"),)])
def test_thresholds_are_probabilities(thresholds: tuple[float, ...]) -> None:
    with pytest.raises(UsageError, match=r"from 0 to 1|takes"):
        MultiLabel(thresholds=thresholds)


def test_the_model_has_an_output_for_each_class() -> None:
    assert MultiLabel().model_for(SPEC, 3).classes == 3
    with pytest.raises(UsageError, match="2 values, and the data 3 classes"):
        MultiLabel(thresholds=(0.5, 0.5)).model_for(SPEC, 3)
    with pytest.raises(UsageError, match="a linear head"):
        MultiLabel().model_for(Spec(head=FCNHead()), 3)
    network = MultiLabelClassification().build(MultiLabel().model_for(SPEC, 3))
    assert network(torch.zeros(2, 3, 8, 8)).shape == (2, 3)


def test_a_training_batch_has_the_loss_of_the_network_s_logits() -> None:
    logits, labels = random_case()
    task = MultiLabelClassification(label_smoothing=0.2)
    batch = batch_of(labels)
    (loss,) = task.loss(lambda inputs: logits, batch).values()
    (plain,) = MultiLabelClassification().loss(lambda inputs: logits, batch).values()
    assert not torch.allclose(loss, plain)
    torch.testing.assert_close(task.evaluate_batch(logits, batch)["loss"], plain)
    assert task.weight(batch) is None


def test_chosen_thresholds_are_stored_and_used() -> None:
    logits, labels = random_case()
    records = recorded(logits, labels)
    task = MultiLabelClassification()
    with_thresholds, records = task.choose(records)
    chosen = with_thresholds.metrics(records, NAMES)
    settings = task.fitted(chosen)
    assert settings.thresholds == tuple(c["threshold"] for c in chosen["classes"].values())
    assert MultiLabelClassification(settings).metrics(records, NAMES) == chosen
    answer = MultiLabelClassification(settings).answers(logits[:1], NAMES, 2)[0]
    by_name = dict(zip(NAMES, settings.thresholds, strict=True))
    assert [each.chosen for each in answer] == [each.probability >= by_name[each.name] for each in answer]
    columns = MultiLabelClassification(settings).columns(records, NAMES)
    assert columns["predicted"][0] == ";".join(sorted(each.name for each in answer if each.chosen))


def test_given_thresholds_are_kept() -> None:
    records = recorded(*random_case())
    given = MultiLabelClassification(MultiLabel(thresholds=tuple(0.1 * k for k in range(6))))
    task, _ = given.choose(records)
    assert task.settings == given.settings


def test_means_are_of_probabilities() -> None:
    task = MultiLabelClassification()
    outputs = [random_case()[0], random_case()[0].flip(0)]
    means = torch.stack([task.to_mean(each) for each in outputs]).mean(0)
    back = task.from_mean(list(means))
    torch.testing.assert_close(torch.sigmoid(back), means)
    torch.testing.assert_close(means, (torch.sigmoid(outputs[0].double()) + torch.sigmoid(outputs[1].double())) / 2)


def test_certain_means_have_a_finite_loss() -> None:
    task = MultiLabelClassification()
    outputs = task.from_mean([torch.tensor([0.0, 1.0, 1.0], dtype=torch.float64)])
    records = task.evaluate_batch(outputs, batch_of(torch.tensor([[0, 1, 0]])))
    assert records["loss"].isfinite().all()
    assert records["probability"].tolist() == [[pytest.approx(0, abs=1e-300), 1, 1]]


def test_labels_are_reordered_by_class() -> None:
    labels = np.array([[1, 0, 0], [0, 1, 1]], np.uint8)
    moved = MultiLabelClassification().reorder({"labels": labels}, np.array([4, 0, 1]))["labels"]
    assert moved.tolist() == [[0, 0, 0, 0, 1], [1, 1, 0, 0, 0]]
    assert moved.dtype == np.uint8
    assert MultiLabelClassification().reorder({"labels": labels[0]}, np.array([4, 0, 1]))["labels"].tolist() == [
        *(0, 0, 0, 0, 1)
    ]


def test_an_answer_has_every_class_the_most_probable_first() -> None:
    task = MultiLabelClassification(MultiLabel(thresholds=(0.9, 0.5, 0.1)))
    (answer,) = task.answers(torch.tensor([[2.0, -1.0, 0.0]]), ("x", "y\x1b", "z"), 1)
    assert [(each.name, each.chosen) for each in answer] == [("x", False), ("z", True), ("y\x1b", False)]
    assert [each.probability for each in answer] == pytest.approx([0.880797, 0.5, 0.268941], abs=1e-6)
    assert task.answer_json(answer, ("x", "y", "z"))["classes"][1] == {"name": "z", "probability": 0.5, "chosen": True}
    assert task.answer_lines(answer, ("x", "y", "z")) == ["   50.00%  z"]
    (none,) = MultiLabelClassification().answers(torch.tensor([[-2.0, -1.0]]), ("x", "y\x1b"), 1)
    assert task.answer_lines(none, ("x", "y")) == [
        "  no class; the most probable:",
        "   26.89%  y\\x1b",
        "   11.92%  x",
    ]


def test_columns_are_what_a_table_and_scikit_learn_take() -> None:
    import sklearn.metrics

    records = recorded(*random_case())
    task = MultiLabelClassification()
    columns = task.columns(records, NAMES)
    assert list(columns) == ["labels", "predicted", "loss", *(f"probability {name}" for name in NAMES)]
    truth = np.array([["a" in each.split(";")] for each in columns["labels"]])[:, 0]
    score = np.array([float(str(each)) for each in columns["probability a"]])
    ap = sklearn.metrics.average_precision_score(truth, score)
    assert task.metrics(records, NAMES)["classes"]["a"]["ap"] == pytest.approx(ap, abs=1e-12)


@pytest.mark.parametrize("names", [["a", "b"], ["a;b", "c"], ["[x"], [], ["b "]])
def test_joined_labels_are_read_back_by_tables(names: list[str], tmp_path: Path) -> None:
    from resnets.modalities.table_cells import parse_target

    assert parse_target("labels", join(names), "x") == tuple(name.strip() for name in names)
    with open(tmp_path / "t.csv", "w", newline="") as file:
        csv.writer(file).writerow([join(names)])


def test_reports_show_the_errors_and_the_classes() -> None:
    labels = torch.tensor([[1, 0], [1, 1], [0, 0]], dtype=torch.uint8)
    records = recorded(torch.tensor([[3.0, -3.0], [2.0, -4.0], [-1.0, 1.0]]), labels)
    task = MultiLabelClassification()
    metrics = task.metrics(records, ("cat", "dog"))
    gallery, table = task.sections(records, metrics, np.array([7, 8, 9]), ("cat", "dog"))
    assert isinstance(gallery, Gallery)
    assert isinstance(table, Table)
    assert [(item.sample, "".join(span.text for span in item.caption)) for item in gallery.items] == [
        (8, "cat missed dog"),
        (9, "added dog"),
    ]
    assert table.rows[0] == ("cat", "100.0%", "100.0%", "100.0%", "100.0%", "0.500", "2")
    assert "mAP 66.67%" in task.headline("t", metrics, "val").spans[0].text
    lines = task.lines(metrics, "val")
    assert lines[0] == "val map      0.666667"
    assert lines[-1].split() == ["dog", "33.33%", "0.00%", "0.00%", "0.00%", "0.500", "1"]
    assert len({len(line) for line in lines[-3:]}) == 1


def test_reports_stand_a_class_without_samples_and_no_errors() -> None:
    records = recorded(torch.tensor([[3.0, -3.0]]), torch.tensor([[1, 0]]))
    task = MultiLabelClassification()
    metrics = task.metrics(records, ("cat", "dog"))
    gallery, table = task.sections(records, metrics, np.array([0]), ("cat", "dog"))
    assert isinstance(gallery, Gallery)
    assert isinstance(table, Table)
    assert (gallery.items, gallery.note, table.rows[1][1]) == ((), "None.", "-")
    chart = task.error_chart([{"epoch": 1, "map": 0.5}, {"epoch": 2, "map": None}], "val")
    assert chart.curves[0].points == [(1, 50.0), (2, None)]
    nothing = task.metrics(recorded(torch.zeros(1, 1), torch.zeros(1, 1)), ("a",))
    assert "mAP -" in task.headline("t", nothing, "val").spans[0].text
    assert task.lines(nothing, "val")[0].split() == ["val", "map", "-"]
