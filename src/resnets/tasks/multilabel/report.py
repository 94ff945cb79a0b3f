"""What a report and the terminal say of a multi-label model: mean average precision, the classes, the worst samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnets.core.console import printable
from resnets.tasks.base import SampleRecords
from resnets.tasks.multilabel.settings import MultiLabel
from resnets.tasks.robustness import corruption_charts, corruption_lines
from resnets.tasks.sections import Chart, Curve, Gallery, GalleryItem, Headline, Section, Span, Table

WORST = 24
_PERCENT = ("ap", "precision", "recall", "f1")


def headline(title: str, metrics: Mapping[str, Any], split: str) -> Headline:
    """The mean average precision and both F1.

    Args:
        metrics: of `multilabel.metrics.metrics`.
        split: the split that was scored.
    """
    f1 = f"F1 {metrics['micro_f1']:.1%} over all answers, {metrics['macro_f1']:.1%} over the classes"
    return Headline(
        title,
        (
            Span(f"mAP {_percent(metrics['map'])}", "strong"),
            Span(f" on {metrics['samples']:,} {split} samples "),
            Span(f"({f1})", "soft"),
        ),
    )


def map_chart(evaluations: Sequence[Mapping[str, Any]], split: str) -> Chart:
    """The mean average precision on `split` in percent by epoch, from the run's `evaluation` events."""
    points = [(e["epoch"], None if e["map"] is None else 100 * e["map"]) for e in evaluations]
    return Chart(f"{split} mAP, %", "epoch", (Curve(split, points),))


def sections(
    records: SampleRecords, metrics: Mapping[str, Any], ids: NDArray[Any], classes: tuple[str, ...]
) -> tuple[Section, ...]:
    """The samples with the largest loss, corrupted images where they were evaluated, and the table of classes.

    Args:
        records: of `multilabel.metrics.evaluate_batch`.
        metrics: of `multilabel.metrics.metrics`.
        ids: (N,) number in the dataset of each sample of `records`.
        classes: of the model, in its order.
    """
    robustness = corruption_charts(metrics, MultiLabel.metrics[0])
    return (worst_samples(records, metrics, ids, classes), *robustness, class_table(metrics))


def worst_samples(
    records: SampleRecords, metrics: Mapping[str, Any], ids: NDArray[Any], classes: tuple[str, ...]
) -> Gallery:
    """The samples with a class too many or too few, those with the largest loss first, at most `WORST`."""
    thresholds = np.array([each["threshold"] for each in metrics["classes"].values()])
    true, predicted = records["labels"].astype(bool), records["probability"] >= thresholds
    wrong = np.flatnonzero((true != predicted).any(1))
    if not len(wrong):
        return Gallery("Errors", (), "None.")
    loss = np.where(np.isnan(records["loss"]), np.inf, records["loss"])
    items = []
    for row in wrong[np.argsort(-loss[wrong], kind="stable")][:WORST]:
        both, missed, added = (true[row] & predicted[row], true[row] & ~predicted[row], predicted[row] & ~true[row])
        caption = [Span(_names(both, classes), "strong")] if both.any() else []
        for kind, which in (("missed", missed), ("added", added)):
            if which.any():
                caption += [Span(f" {kind} " if caption else f"{kind} "), Span(_names(which, classes), "strong")]
        items.append(GalleryItem(int(ids[row]), tuple(caption)))
    title = "The error" if len(wrong) == 1 else f"{len(wrong):,} samples with an error, the worst first"
    return Gallery(title, tuple(items), "" if len(wrong) <= WORST else f"The worst {WORST} are shown.")


def class_table(metrics: Mapping[str, Any]) -> Table:
    """Average precision, precision, recall, F1, the threshold and the number of positive samples of each class."""
    rows = tuple(
        (name, *(_percent(c[key], 1) for key in _PERCENT), f"{c['threshold']:.3f}", f"{c['support']:,}")
        for name, c in metrics["classes"].items()
    )
    columns = ("class", "average precision", "precision", "recall", "F1", "threshold", "samples")
    return Table("Classes", columns, rows)


def lines(metrics: Mapping[str, Any], split: str) -> list[str]:
    """What `evaluate` prints: the metrics, then a table of the classes."""
    names = [each.name for each in MultiLabel.metrics]
    width = max(len(f"{split} {name}") for name in names)
    found = [f"{f'{split} {name}':{width}} {_number(metrics[name])}" for name in names]
    found += [f"{name:{width}} {metrics[name]}" for name in ("samples", "excluded") if name in metrics]
    found += corruption_lines(metrics, MultiLabel.metrics[0])
    width = max([len("class"), *(len(printable(name)) for name in metrics["classes"])])
    found.append(f"{'class':{width}}       ap  precision   recall       f1  threshold  samples")
    found += [
        f"{printable(name):{width}} {_percent(c['ap']):>8} {c['precision']:10.2%} {c['recall']:8.2%} {c['f1']:8.2%}"
        f" {c['threshold']:10.3f} {c['support']:8,}"
        for name, c in metrics["classes"].items()
    ]
    return found


def _names(which: NDArray[np.bool_], classes: tuple[str, ...]) -> str:
    return ", ".join(classes[k] for k in np.flatnonzero(which))


def _percent(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{value:.{digits}%}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"
