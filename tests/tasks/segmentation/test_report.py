"""What a report says of segmentation."""

from __future__ import annotations

import numpy as np
import torch

from resnets.tasks.sections import Gallery, Table
from resnets.tasks.segmentation.answers import colors
from resnets.tasks.segmentation.report import headline, iou_chart
from resnets.tasks.segmentation.settings import Segment
from resnets.tasks.segmentation.task import Segmentation
from tests.tasks.segmentation.test_metrics import NAMES, random_masks, records_of

TASK = Segmentation(Segment())


def test_a_report_has_the_mean_the_classes_and_the_worst_images() -> None:
    records = records_of(*random_masks(without=(2,)))
    metrics = TASK.metrics(records, NAMES)
    shown = "".join(span.text for span in headline("run", metrics, "val").spans)
    assert f"{metrics['miou']:.2%} mean IoU on 6 val images" in shown
    table, gallery = TASK.sections(records, metrics, np.arange(6) * 10, NAMES)
    assert isinstance(table, Table)
    assert [row[0] for row in table.rows] == list(NAMES)
    assert table.rows[2][1] == "-"
    assert table.note == "In no mask and no prediction, so left out of the mean: tree."
    assert isinstance(gallery, Gallery)
    each = TASK.columns(records, NAMES)["miou"]
    assert [item.sample for item in gallery.items] == [10 * int(row) for row in np.argsort(each) for _ in range(2)]


def test_the_worst_images_are_shown_with_prediction_and_mask() -> None:
    predicted, mask = torch.zeros(12, 20, dtype=torch.int64), torch.zeros(12, 20, dtype=torch.uint8)
    predicted[:, 10:], mask[6:] = 1, 2
    logits = torch.nn.functional.one_hot(predicted, 5).permute(2, 0, 1).float()
    records = records_of([logits], [mask])
    gallery = TASK.sections(records, TASK.metrics(records, NAMES), np.arange(1), NAMES)[1]
    assert isinstance(gallery, Gallery)
    first, second = (item.overlay for item in gallery.items)
    assert first is not None
    assert second is not None
    assert first.shape == (96, 96, 3)
    assert (first[:, :48] == colors()[0]).all()
    assert (first[:, 48:] == colors()[1]).all()
    assert (second[:48] == colors()[0]).all()
    assert (second[48:] == colors()[2]).all()


def test_the_lines_name_every_class() -> None:
    records = records_of(*random_masks(without=(2,)))
    lines = TASK.lines(TASK.metrics(records, NAMES), "test")
    assert lines[0].startswith("mIoU ")
    assert [line.split()[0] for line in lines[1:6]] == list(NAMES)
    assert "left out of the mean: tree" in lines[-1]


def test_what_is_unknown_is_a_dash_and_a_gap() -> None:
    metrics = {"miou": None, "pixel_accuracy": None, "samples": 1}
    assert headline("run", metrics, "val").spans[0].text == "-"
    chart = iou_chart([{"epoch": 1, "miou": 0.25}, {"epoch": 2, "miou": None}], "val")
    assert list(chart.curves[0].points) == [(1, 25.0), (2, None)]


def test_columns_of_an_image_that_is_all_void_are_empty() -> None:
    logits, masks = random_masks(count=2)
    masks[1][:] = 255
    columns = TASK.columns(records_of(logits, masks), NAMES)
    assert [values[1] for values in columns.values()] == ["", "", ""]
    assert all(isinstance(values[0], float) for values in columns.values())
