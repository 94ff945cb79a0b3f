"""The task of regression: settings, standardisation, means, answers and what is shown."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from resnets.core.config import decode, encode
from resnets.core.errors import UsageError
from resnets.modalities.batch import Batch
from resnets.models.heads import FCNHead
from resnets.models.spec import Spec
from resnets.tasks.base import SampleRecords, Task
from resnets.tasks.catalog import find, open_task
from resnets.tasks.regression.settings import Regress
from resnets.tasks.regression.task import Regression
from resnets.tasks.sections import Charts, Gallery, Table

SETTINGS = Regress(mean=10.0, std=4.0)


def dataset_of(*target: float) -> Any:
    return SimpleNamespace(targets={"target": np.array(target, np.float32)})


def test_the_catalogue_opens_the_task() -> None:
    assert find("regression") == Regress()
    task: Task = open_task(SETTINGS)
    assert isinstance(task, Regression)
    assert task.settings is SETTINGS
    with pytest.raises(UsageError, match=r"label_smoothing=0.1 is for classes: .*label_smoothing=0"):
        open_task(SETTINGS, label_smoothing=0.1)
    assert (Regress.metrics[0].name, Regress.metrics[0].direction) == ("mae", "min")


def test_the_training_data_gives_mean_and_standard_deviation() -> None:
    found = Regress().for_data(dataset_of(-1, 0, 4, 5))
    assert found.mean == 2
    assert found.std == pytest.approx(np.std([-1, 0, 4, 5]))
    assert Regress(mean=0.0, std=1.0).for_data(dataset_of(5, 9)) == Regress(mean=0.0, std=1.0)
    assert Regress().for_data(dataset_of(3, 3)).std == 1
    assert decode(Regress, json.loads(json.dumps(encode(found)))) == found


@pytest.mark.parametrize("wrong", [{"delta": 0.0}, {"std": 0.0}, {"std": -1.0}, {"loss": "mae"}, {"std": float("inf")}])
def test_impossible_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(wrong))):
        Regress(**wrong)


def test_the_model_has_one_output() -> None:
    spec = Regress().model_for(Spec(depths=(1,), widths=(4,), stem="cifar", stem_width=4), 1)
    assert Regression().build(spec)(torch.zeros(2, 3, 8, 8)).shape == (2, 1)
    with pytest.raises(UsageError, match="a linear head"):
        Regress().model_for(Spec(head=FCNHead()), 1)


def test_training_and_evaluation_have_the_same_loss() -> None:
    outputs = torch.tensor([[0.5], [-1.0]])
    batch = Batch({"inputs": torch.zeros(2, 1), "target": torch.tensor([11.0, 9.0])})
    task = Regression(Regress(loss="huber", mean=10.0, std=4.0))
    (loss,) = task.loss(lambda inputs: outputs, batch).values()
    torch.testing.assert_close(task.evaluate_batch(outputs, batch)["loss"], loss)
    assert task.weight(batch) is None


def test_means_are_in_the_units_of_the_target() -> None:
    task, other = Regression(SETTINGS), Regression(Regress(mean=0.0, std=20.0))
    means = (task.to_mean(torch.tensor([[1.0], [0.0]])) + other.to_mean(torch.tensor([[1.0], [0.0]]))) / 2
    assert means.tolist() == [[17], [5]]
    assert task.answers(task.from_mean(list(means)), ("target",), 1) == [17, 5]


def test_answers_are_numbers() -> None:
    task = Regression(SETTINGS)
    (answer,) = task.answers(torch.tensor([[0.125]]), ("target",), 5)
    assert answer == 10.5
    assert task.answer_json(answer, ("target",)) == {"target": 10.5}
    assert task.answer_lines(answer, ("target",)) == ["  10.5"]


def test_columns_have_the_target_as_it_was_given() -> None:
    batch = Batch({"target": torch.tensor([0.1, -3.7e-5, 100.0])})
    task = Regression(SETTINGS)
    records = {k: v.numpy() for k, v in task.evaluate_batch(torch.zeros(3, 1), batch).items()}
    columns = task.columns(records, ("target",))
    assert columns["target"] == [0.1, -3.7e-5, 100]
    assert columns["predicted"] == [10, 10, 10]
    assert list(columns) == ["target", "predicted", "loss"]


def test_reports_show_the_worst_and_where_errors_lie() -> None:
    task = Regression(SETTINGS)
    target = np.arange(100, dtype=np.float32)
    predicted = target.astype(np.float64) + np.where(target == 7, -20, 1)
    records: SampleRecords = {"target": target, "predicted": predicted, "loss": np.zeros(100, np.float32)}
    metrics = task.metrics(records, ("target",))
    gallery, charts, table = task.sections(records, metrics, np.arange(100) + 5, ("target",))
    assert isinstance(gallery, Gallery)
    assert isinstance(charts, Charts)
    assert isinstance(table, Table)
    assert gallery.items[0].sample == 12
    assert "".join(span.text for span in gallery.items[0].caption) == "-13 in place of 7"
    assert len(gallery.items) == 24
    by_target, by_share = (chart.curves[0].points for chart in charts.charts)
    assert [by_target[9], by_share[0], by_share[100]] == [(94.5, 95.5), (0, 1), (100, 20)]
    assert table.rows[0] == ("0 to 9", "2.9", "-1.1", "10")
    assert task.headline("t", metrics, "val").spans[0].text == "Mean absolute error 1.19"
    assert task.lines(metrics, "val")[0] == "val mae  1.19"
    assert task.error_chart([{"epoch": 1, "mae": 2.5}], "val").curves[0].points == [(1, 2.5)]


def test_reports_stand_few_samples_and_nan() -> None:
    task = Regression(SETTINGS)
    records = {
        "target": np.array([1, 1], np.float32),
        "predicted": np.array([np.nan, 2.0]),
        "loss": np.array([np.nan, 1], np.float32),
    }
    metrics = task.metrics(records, ("target",))
    gallery, _, table = task.sections(records, metrics, np.array([0, 1]), ("target",))
    assert isinstance(gallery, Gallery)
    assert isinstance(table, Table)
    assert [item.sample for item in gallery.items] == [0, 1]
    assert len(table.rows) == 2
    assert "R² -" in task.headline("t", metrics, "val").spans[2].text
