"""What a report says of segmentation: mean IoU, the IoU of each class, and the images with the worst masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnets.core.console import printable
from resnets.tasks.base import SampleRecords
from resnets.tasks.sections import Chart, Curve, Gallery, GalleryItem, Headline, Section, Span, Table
from resnets.tasks.segmentation.answers import colors
from resnets.tasks.segmentation.metrics import iou_by_sample

WORST = 12


def percent(value: float | None) -> str:
    """A fraction of 1 in percent; a dash for None."""
    return "-" if value is None else f"{value:.2%}"


def headline(title: str, metrics: Mapping[str, Any], split: str) -> Headline:
    """The mean IoU and the pixel accuracy."""
    return Headline(
        title,
        (
            Span(percent(metrics["miou"]), "strong"),
            Span(f" mean IoU on {metrics['samples']:,} {split} images, "),
            Span(f"{percent(metrics['pixel_accuracy'])} of their pixels right", "soft"),
        ),
    )


def iou_chart(evaluations: Sequence[Mapping[str, Any]], split: str) -> Chart:
    """The mean IoU on `split` in percent by epoch, from the run's `evaluation` events."""
    points = [(e["epoch"], None if e["miou"] is None else 100 * e["miou"]) for e in evaluations]
    return Chart(f"{split} mean IoU, %", "epoch", (Curve(split, points),))


def sections(records: SampleRecords, metrics: Mapping[str, Any], ids: NDArray[np.int64]) -> tuple[Section, ...]:
    """The table of the classes, and the worst images."""
    return class_table(metrics), worst_images(records, ids)


def class_table(metrics: Mapping[str, Any]) -> Table:
    """IoU and share of the pixels of each class."""
    rows = tuple(
        (name, percent(each["iou"]), f"{each['pixels'] / max(metrics['pixels'], 1):.2%}")
        for name, each in metrics["classes"].items()
    )
    return Table("Classes", ("class", "IoU", "share of pixels"), rows, absent_note(metrics))


def absent_note(metrics: Mapping[str, Any]) -> str:
    """Which classes are left out of the mean; empty where none is."""
    if not metrics["absent"]:
        return ""
    return f"In no mask and no prediction, so left out of the mean: {', '.join(metrics['absent'])}."


def worst_images(records: SampleRecords, ids: NDArray[np.int64]) -> Gallery:
    """The images with the smallest mean IoU, at most `WORST`, each with its prediction and then with its mask."""
    each = iou_by_sample(records)
    order = [int(row) for row in np.argsort(each, kind="stable") if not np.isnan(each[row])][:WORST]
    right = records["intersection"].sum(1) / np.maximum(records["pixels"], 1)
    palette, items = colors(), []
    for row in order:
        caption = (Span(f"{each[row]:.1%}", "strong"), Span(f" mean IoU, {right[row]:.1%} of pixels right"))
        items.append(GalleryItem(int(ids[row]), caption, palette[records["predicted_thumbnail"][row]]))
        items.append(GalleryItem(int(ids[row]), (Span("its mask"),), palette[records["true_thumbnail"][row]]))
    note = "" if len(order) == len(each) else f"The worst {len(order)} of {len(each):,} are shown."
    return Gallery("Images by mean IoU, the worst first", tuple(items), note)


def lines(metrics: Mapping[str, Any], split: str) -> list[str]:
    """The figures, then a line a class."""
    loss = "-" if metrics["loss"] is None else f"{metrics['loss']:.4f}"
    names = {name: printable(name) for name in metrics["classes"]}
    width = max(map(len, names.values()), default=0)
    note = absent_note(metrics)
    return [
        f"mIoU {percent(metrics['miou'])}, {percent(metrics['pixel_accuracy'])} of pixels right, loss {loss} "
        f"on {metrics['samples']:,} {split} images",
        *(f"  {names[name]:<{width}}  IoU {percent(each['iou']):>7}" for name, each in metrics["classes"].items()),
        *([note] if note else []),
    ]
