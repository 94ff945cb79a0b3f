"""What a report and the terminal say of a detector: AP, curves, classes, errors by kind and by size, images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnets.core.console import printable
from resnets.tasks.base import SampleRecords
from resnets.tasks.boxes import areas
from resnets.tasks.detection.coco import MASK, NUMBERS, SIZES, size_of
from resnets.tasks.detection.errors import KINDS, Errors, above, find_errors, lost_ap
from resnets.tasks.detection.galleries import Shown, false_positives, misses, worst_images
from resnets.tasks.detection.matching import Matches, precision_recall
from resnets.tasks.sections import Chart, Charts, Curve, Headline, Section, Span, Table

CURVES = 6  # classes with the most objects whose curves are drawn
POINTS = 200  # of a curve, at most
_NAMES = {
    "ap": "AP", "ap50": "AP at an IoU of 0.5", "ap75": "AP at an IoU of 0.75", "ap_small": "AP of small objects",
    "ap_medium": "AP of medium objects", "ap_large": "AP of large objects", "ar1": "recall with 1 answer an image",
    "ar10": "recall with 10 answers", "ar100": "recall with 100 answers", "ar_small": "recall of small objects",
    "ar_medium": "recall of medium objects", "ar_large": "recall of large objects",
}  # fmt: skip


def percent(value: float | None, digits: int = 1) -> str:
    """A fraction of 1 in percent; a dash for None."""
    return "-" if value is None else f"{value:.{digits}%}"


def headline(title: str, metrics: Mapping[str, Any], split: str) -> Headline:
    """COCO's AP and AP50."""
    masks = f", of masks {percent(metrics[MASK + 'ap'])}" if MASK + "ap" in metrics else ""
    return Headline(
        title,
        (
            Span(f"AP {percent(metrics['ap'])}", "strong"),
            Span(f" on {metrics['samples']:,} {split} images{masks} "),
            Span(f"({percent(metrics['ap50'])} at an IoU of 0.5)", "soft"),
        ),
    )


def ap_chart(evaluations: Sequence[Mapping[str, Any]], split: str) -> Chart:
    """AP and AP50 on `split` in percent by epoch, from the run's `evaluation` events."""
    curves = tuple(
        Curve(name, [(e["epoch"], None if e[key] is None else 100 * e[key]) for e in evaluations])
        for name, key in (("AP", "ap"), ("AP50", "ap50"))
    )
    return Chart(f"{split}, %", "epoch", curves)


def sections(
    records: SampleRecords, metrics: Mapping[str, Any], ids: NDArray[np.int64], classes: tuple[str, ...]
) -> tuple[Section, ...]:
    """Images with boxes, the curves, the errors by kind and by size, the numbers and the classes.

    Args:
        records: of `detection.metrics.evaluate_batch`.
        metrics: of `detection.metrics.metrics`.
        ids: (N,) number in the dataset of each sample of `records`.
        classes: of the model, in its order.
    """
    everything = find_errors(records)
    answered = find_errors(above(records, [each["threshold"] for each in metrics["classes"].values()]))
    shown = Shown(records, answered, ids, classes)
    return (
        worst_images(shown),
        false_positives(shown),
        misses(shown),
        curves(everything.matches, classes),
        kinds_table(everything, answered, len(classes)),
        sizes_table(records, metrics, answered),
        numbers_table(metrics),
        class_table(metrics),
    )


def numbers_table(metrics: Mapping[str, Any]) -> Table:
    """COCO's twelve numbers of boxes and, where there are any, of masks; then VOC's."""
    with_masks = MASK + "ap" in metrics
    kinds = ("", MASK) if with_masks else ("",)
    rows = [(_NAMES[name], *(percent(metrics[kind + name]) for kind in kinds)) for name in NUMBERS]
    rows += [
        (f"AP at an IoU of 0.5 as {name}", percent(metrics[key]), *([""] if with_masks else []))
        for name, key in (("VOC until 2009", "voc07_ap50"), ("VOC since 2010", "voc12_ap50"))
    ]
    note = "COCO's numbers; AP without more is the mean over IoUs from 0.5 to 0.95. Small is below 32 x 32, large from "
    columns = ("", "boxes", "masks") if with_masks else ("", "boxes")
    return Table("Average precision and recall", columns, tuple(rows), note + "96 x 96 px on.")


def class_table(metrics: Mapping[str, Any]) -> Table:
    """AP of each class, and what its threshold gives."""
    rows = tuple(
        (
            name,
            *(percent(each[key]) for key in ("ap", "ap50", "precision", "recall", "f1")),
            f"{each['threshold']:.3f}",
            f"{each['boxes']:,}",
        )
        for name, each in metrics["classes"].items()
    )
    note = "Precision, recall and F1 are those of the answers from the threshold of the class on, at an IoU of 0.5."
    columns = ("class", "AP", "AP50", "precision", "recall", "F1", "threshold", "true boxes")
    return Table("Classes", columns, rows, note)


def curves(matches: Matches, classes: tuple[str, ...]) -> Charts:
    """Precision by recall at an IoU of 0.5, of the classes with the most objects."""
    own = [matches.of_class(label) for label in range(len(classes))]
    order = sorted((label for label in range(len(classes)) if own[label][2]), key=lambda label: -own[label][2])
    found = tuple(Curve(classes[label], _points(*own[label][1:])) for label in order[:CURVES])
    note = f"Of the {CURVES} classes with the most objects." if len(order) > CURVES else ""
    return Charts("Precision and recall", (Chart("precision at an IoU of 0.5, %", "recall, %", found),), note)


def _points(hits: NDArray[np.bool_], objects: int) -> list[tuple[float, float]]:
    if not len(hits):
        return []
    precision, recall = precision_recall(hits, objects)
    steps = np.unique(np.linspace(0, len(hits) - 1, POINTS).round().astype(int))
    return [(100 * float(recall[step]), 100 * float(precision[step])) for step in steps]


def kinds_table(everything: Errors, answered: Errors, classes: int) -> Table:
    """How many errors of each kind the answers above the thresholds have, and what each kind costs."""
    lost = lost_ap(everything, classes)
    rows = tuple(
        (kind, f"{answered.count(kind):,}", "-" if (value := lost[kind]) is None else f"{100 * value:.1f}")
        for kind in KINDS
    )
    note = (
        "As TIDE has them (Bolya et al. 2020). Errors are those of the answers above the thresholds. The points of "
        "AP50 are those that all answers would gain without the kind; kinds overlap, so they do not add up."
    )
    return Table("Errors by kind", ("kind", "errors", "points of AP50"), rows, note)


def sizes_table(records: SampleRecords, metrics: Mapping[str, Any], answered: Errors) -> Table:
    """What is found, missed and wrong, by the size of the objects and of the answers."""
    matches = answered.matches
    true = size_of(np.concatenate([np.asarray(own, np.float64) for own in records["areas"]]))
    own = size_of(areas(matches.answers.boxes))
    rows = []
    for place, name in enumerate(SIZES):
        counts = matches.counts & (true == place)
        found = int((counts & (matches.finder >= 0)).sum())
        objects, wrong = int(counts.sum()), int(((own == place) & (answered.kind >= 0)).sum())
        recall = percent(found / objects if objects else None)
        rows.append(
            (name, f"{objects:,}", f"{found:,}", f"{objects - found:,}", recall, f"{wrong:,}",
             percent(metrics[f"ap_{name}"]))
        )  # fmt: skip
    columns = ("size", "true boxes", "found", "missed", "recall", "wrong answers", "AP")
    note = "Of the answers above the thresholds, but for AP. Small is below 32 x 32 px, large from 96 x 96 px on."
    return Table("Errors by size", columns, tuple(rows), note)


def lines(metrics: Mapping[str, Any], split: str) -> list[str]:
    """What `evaluate` prints: the numbers, then a line a class."""
    found = [
        f"AP {percent(metrics['ap'])}, AP50 {percent(metrics['ap50'])}, AP75 {percent(metrics['ap75'])} on "
        f"{metrics['samples']:,} {split} images with {metrics['boxes']:,} boxes"
    ]
    if MASK + "ap" in metrics:
        own = ", ".join(f"{name} {percent(metrics[MASK + name.lower()])}" for name in ("AP", "AP50", "AP75"))
        found.append(f"masks: {own}")
    found.append(
        "AP of small, medium and large objects "
        + ", ".join(percent(metrics[f"ap_{name}"]) for name in SIZES)
        + f"; VOC07 {percent(metrics['voc07_ap50'])}, VOC12 {percent(metrics['voc12_ap50'])}"
        + ("" if metrics["loss"] is None else f"; loss {metrics['loss']:.4f}")
    )
    names = {name: printable(name) for name in metrics["classes"]}
    width = max([len("class"), *map(len, names.values())])
    found.append(f"{'class':<{width}}       AP    AP50  precision  recall  threshold   boxes")
    for name, each in metrics["classes"].items():
        found.append(
            f"{names[name]:<{width}}  {percent(each['ap']):>7} {percent(each['ap50']):>7}  "
            f"{percent(each['precision']):>9} {percent(each['recall']):>7}  {each['threshold']:9.3f} {each['boxes']:7,}"
        )
    return found


def columns(records: SampleRecords, thresholds: Sequence[float]) -> dict[str, Sequence[Any]]:
    """The columns of predictions.csv: of each image how many true boxes it has that count, how many of them are found
    and missed, how many answers are wrong, and the loss, where it is known."""
    errors = find_errors(above(records, thresholds))
    matches, samples = errors.matches, len(records["boxes"])
    found = matches.counts & (matches.finder >= 0)
    counted = {
        "boxes": np.bincount(matches.truth.image[matches.counts], minlength=samples),
        "found": np.bincount(matches.truth.image[found], minlength=samples),
        "missed": np.bincount(matches.truth.image[matches.counts & ~found], minlength=samples),
        "wrong": np.bincount(matches.answers.image[errors.kind >= 0], minlength=samples),
    }
    more = {"loss": records["loss"].tolist()} if "loss" in records else {}
    return {**{name: values.tolist() for name, values in counted.items()}, **more}
