"""What a report says of a classifier: accuracy, worst errors, confusion matrix, confidence, precision and recall by
class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnets.core.console import printable
from resnets.core.units import show_count
from resnets.tasks.base import SampleRecords
from resnets.tasks.classification.conditions import by_group, by_image
from resnets.tasks.classification.confidence import (
    area_under_risk_coverage,
    reliability,
    selective_accuracy,
    threshold_for,
)
from resnets.tasks.classification.confusions import MATRIX_CLASSES, confused_pairs, confusions, error_caption
from resnets.tasks.classification.data_map import data_map
from resnets.tasks.classification.interval import interval_of
from resnets.tasks.classification.settings import Classify
from resnets.tasks.classification.wrong_labels import likely_wrong, suspicion
from resnets.tasks.robustness import corruption_charts, corruption_lines
from resnets.tasks.samples import SampleFacts
from resnets.tasks.sections import Chart, Charts, Curve, Gallery, GalleryItem, Headline, Section, Span, Table

WORST_ERRORS = 24
WANTED_ACCURACIES = (0.95, 0.99)  # for which the report says how many samples are answered
MOST_POINTS = 200  # of a curve


def headline(title: str, metrics: Mapping[str, Any], split: str) -> Headline:
    """The accuracy with its 95% interval and, with more than five classes, the top-5 accuracy.

    Args:
        metrics: of `Classification.metrics`, where there are groups with what `interval.clustered` adds.
        split: the split that was scored.
    """
    samples, accuracy = metrics["samples"], metrics["accuracy"]
    low, high = interval_of(metrics)
    clustered = f", clustered by {show_count(metrics['groups'], 'group')}" if "groups" in metrics else ""
    top5 = "" if len(metrics["classes"]) <= 5 else f", top-5 {metrics['top5']:.2%}"
    return Headline(
        title,
        (
            Span(f"{accuracy:.2%}", "strong"),
            Span(f" of {samples:,} {split} samples right{top5} "),
            Span(f"(95% interval {low:.1%} to {high:.1%}{clustered})", "soft"),
        ),
    )


def sections(
    records: SampleRecords,
    metrics: Mapping[str, Any],
    ids: NDArray[np.int64],
    classes: tuple[str, ...],
    facts: SampleFacts | None = None,
) -> tuple[Section, ...]:
    """The worst errors, labels to look at, the confusions with images of the most frequent where not every error is
    shown already, what confidence is worth, where it does worse, the map of the samples, and the table of classes.

    Args:
        records: of `Classification.evaluate_batch`, (N,) each.
        metrics: of `Classification.metrics`.
        ids: (N,) number in the dataset of each sample of `records`.
        classes: of the model, in its order.
        facts: what is known of the samples besides; None where nothing is.
    """
    found: list[Section] = [worst_errors(records, ids, classes)]
    if (suspects := wrong_labels(records, ids, classes)) is not None:
        found.append(suspects)
    found += confusions(records, classes)
    errors = int((records["label"] != records["predicted"]).sum())
    if errors > WORST_ERRORS and len(classes) > 2 and (pairs := confused_pairs(records, ids, classes)) is not None:
        found.append(pairs)
    if (sure := confidence_charts(records, metrics)) is not None:
        found.append(sure)
    if facts is not None:
        known = (by_image(records, facts), by_group(records, facts), data_map(records, facts, classes))
        found += [section for section in known if section is not None]
    return (*found, *corruption_charts(metrics, Classify.metrics[0]), class_table(metrics))


def error_chart(evaluations: Sequence[Mapping[str, Any]], split: str) -> Chart:
    """The error on `split` in percent by epoch, from the run's `evaluation` events."""
    points = [(e["epoch"], 100 * (1 - e["accuracy"])) for e in evaluations]
    return Chart(f"{split} error, %", "epoch", (Curve(split, points),))


def worst_errors(records: SampleRecords, ids: NDArray[np.int64], classes: tuple[str, ...]) -> Gallery:
    """The errors with the largest loss, at most `WORST_ERRORS`; those whose label is likely wrong are marked."""
    wrong = np.flatnonzero(records["label"] != records["predicted"])
    if not len(wrong):
        return Gallery("Errors", (), "None.")
    worst, suspects = _worst(records), likely_wrong(records)
    marked = set(suspects.tolist())
    items = []
    for row in worst:
        label = (Span(", look at the label", "soft"),) if int(row) in marked else ()
        caption = (*error_caption(records, int(row), classes), *label)
        items.append(GalleryItem(int(ids[row]), caption))
    title = "The error" if len(wrong) == 1 else f"{len(wrong):,} errors, the worst first"
    notes = [] if len(wrong) <= WORST_ERRORS else [f"The worst {WORST_ERRORS} are shown."]
    if len(suspects) and np.isin(suspects, worst).all():
        notes.append(f"{show_count(len(suspects), 'label')} to look at: {_ABOUT_LABELS}")
    return Gallery(title, tuple(items), " ".join(notes))


def wrong_labels(records: SampleRecords, ids: NDArray[np.int64], classes: tuple[str, ...]) -> Gallery | None:
    """The samples whose label is likely wrong and that are not among the worst errors; None where there are none."""
    rows, worst = likely_wrong(records), _worst(records)
    others = rows[~np.isin(rows, worst)]
    if not len(others):
        return None
    items = tuple(
        GalleryItem(
            int(ids[row]),
            (Span(classes[int(records["label"][row])], "strong"), Span(" or rather "),
             Span(classes[int(records["predicted"][row])], "strong"), Span("?")),
        )
        for row in others[:WORST_ERRORS]
    )  # fmt: skip
    above = len(rows) - len(others)
    marked = f" {above:,} of them {'is' if above == 1 else 'are'} marked among the errors above." if above else ""
    note = f"{_ABOUT_LABELS[0].upper()}{_ABOUT_LABELS[1:]}{marked}"
    return Gallery(f"{show_count(len(rows), 'label')} to look at", items, note)


_ABOUT_LABELS = (
    "another class is predicted as surely as where it is the label (confident learning). Errors of the model look the "
    "same: look before you change a label. resnets evaluate --out lists all in wrong_labels.csv."
)


def _worst(records: SampleRecords) -> NDArray[np.int64]:
    """The rows of the errors with the largest loss, at most `WORST_ERRORS`."""
    wrong = np.flatnonzero(records["label"] != records["predicted"])
    return wrong[np.argsort(-records["loss"][wrong], kind="stable")][:WORST_ERRORS]


def confidence_charts(records: SampleRecords, metrics: Mapping[str, Any]) -> Charts | None:
    """Accuracy by confidence, and the accuracy of the answers where the least sure ones are withheld.

    None if a confidence is not finite, or there are no samples.
    """
    right, confidence = records["label"] == records["predicted"], records["confidence"]
    if (area := area_under_risk_coverage(right, confidence)) is None:
        return None
    confidences, accuracies, _ = reliability(right, confidence)
    _, coverage, selective = selective_accuracy(right, confidence)
    shown = np.unique(np.linspace(0, len(coverage) - 1, MOST_POINTS).astype(np.int64))
    notes = [f"The expected calibration error is {metrics['ece']:.1%}{_without_temperature(metrics)}."]
    notes.append(f"The area under the risk-coverage curve is {area:.2%}.")
    if metrics.get("answered_accuracy") is not None:
        notes.append(
            f"The model answers where it is {metrics['unknown_below']:.1%} sure or more: {metrics['coverage']:.1%} of "
            f"the samples, of which {metrics['answered_accuracy']:.2%} are right."
        )
    reached = {threshold_for(right, confidence, wanted): wanted for wanted in WANTED_ACCURACIES}  # the highest of each
    for threshold, accuracy in reached.items():
        if threshold is not None:
            answered = float((confidence >= threshold).mean())
            notes.append(
                f"At {threshold:.1%} confidence or more, {answered:.0%} are answered, at least {accuracy:.0%} of them "
                "right."
            )
    return Charts(
        "Confidence",
        (
            Chart(
                "accuracy by confidence, %",
                "confidence, %",
                (
                    Curve("model", tuple(zip(100 * confidences, 100 * accuracies, strict=True))),
                    Curve("calibrated", ((0.0, 0.0), (100.0, 100.0))),
                ),
            ),
            Chart(
                "accuracy of the answers, %",
                "answered, the surest first, %",
                (Curve("accuracy", tuple(zip(100 * coverage[shown], 100 * selective[shown], strict=True))),),
            ),
        ),
        " ".join(notes),
    )


def _without_temperature(metrics: Mapping[str, Any]) -> str:
    if metrics.get("ece_uncalibrated") is None:
        return ""
    return f" at the temperature {metrics['temperature']:.3g}, and {metrics['ece_uncalibrated']:.1%} without it"


def class_table(metrics: Mapping[str, Any]) -> Table:
    """Precision, recall, F1 and the number of samples of each class; of many, the one of the least F1 first, and those
    without samples last."""
    found, note = list(metrics["classes"].items()), ""
    if len(found) > MATRIX_CLASSES:
        found.sort(key=lambda each: (not each[1]["support"], each[1]["f1"]))
        note = "The one of the least F1 first."
    rows = tuple(
        (name, f"{c['precision']:.1%}", f"{c['recall']:.1%}", f"{c['f1']:.1%}", f"{c['support']:,}")
        for name, c in found
    )
    return Table("Classes", ("class", "precision", "recall", "F1", "samples"), rows, note)


SHOWN = (
    "accuracy", "top5", "balanced_accuracy", "macro_f1", "auc", "ece", "ece_uncalibrated", "temperature",
    "unknown_below", "coverage", "answered_accuracy", "loss",
)  # fmt: skip


def columns(
    records: SampleRecords, classes: tuple[str, ...], unknown_below: float | None = None
) -> dict[str, Sequence[Any]]:
    """The columns of predictions.csv: "label" and "predicted" (class names), "confidence", "loss" and "suspicion" (of
    the label, from -1 to 1); with a threshold also "unknown"."""
    confidence = records["confidence"]
    unknown = {} if unknown_below is None else {"unknown": (~(confidence.astype(np.float64) >= unknown_below)).tolist()}
    return {
        "label": [classes[i] for i in records["label"]],
        "predicted": [classes[i] for i in records["predicted"]],
        "confidence": list(confidence),
        "loss": list(records["loss"]),
        "suspicion": list(suspicion(records)),
        **unknown,
    }


def lines(metrics: Mapping[str, Any], split: str) -> list[str]:
    """The metrics in lines, then a table of the classes."""
    names = [name for name in SHOWN if metrics.get(name) is not None]
    width = max(len(f"{split} {name}") for name in names)
    found = [f"{f'{split} {name}':{width}} {metrics[name]:.6g}" for name in names]
    found += [f"{name:{width}} {metrics[name]:.6g}" for name in ("samples", "excluded") if name in metrics]
    found += corruption_lines(metrics, Classify.metrics[0])
    width = max(map(len, metrics["classes"]))
    found.append(f"{'class':{width}}  precision  recall      f1   samples")
    found += [
        f"{printable(name):{width}}  {c['precision']:9.2%} {c['recall']:7.2%} {c['f1']:7.2%} {c['support']:9,}"
        for name, c in metrics["classes"].items()
    ]
    return found
