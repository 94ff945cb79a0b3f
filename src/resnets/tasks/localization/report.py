"""What a report says of localization: the errors as ILSVRC counts them, of each class, and the worst images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnets.core.console import printable
from resnets.tasks.base import SampleRecords
from resnets.tasks.localization.metrics import LEAST_IOU, given_overlaps, right_guesses
from resnets.tasks.sections import Chart, Curve, Gallery, GalleryItem, Headline, Outline, Section, Span, Table

WORST = 24
FOUND, TRUE = (213, 94, 0), (0, 158, 115)  # Okabe and Ito 2008: to be told apart without colour vision


def percent(value: float | None) -> str:
    """A fraction of 1 in percent; a dash for None."""
    return "-" if value is None else f"{value:.2%}"


def headline(title: str, metrics: Mapping[str, Any], split: str) -> Headline:
    """The localization error of five guesses, and the error of the classes alone."""
    return Headline(
        title,
        (
            Span(percent(metrics["top5_localization_error"]), "strong"),
            Span(f" top-5 localization error on {metrics['samples']:,} {split} images, "),
            Span(f"{percent(metrics['top5_error'])} of the classes alone", "soft"),
        ),
    )


def error_chart(evaluations: Sequence[Mapping[str, Any]], split: str) -> Chart:
    """The errors on `split` in percent by epoch, from the run's `evaluation` events."""
    names = {
        "top5_localization_error": "top-5",
        "top1_localization_error": "top-1",
        "given_class_localization_error": "class given",
    }
    curves = tuple(
        Curve(said, [(e["epoch"], None if e[name] is None else 100 * e[name]) for e in evaluations])
        for name, said in names.items()
    )
    return Chart(f"{split} localization error, %", "epoch", curves)


def sections(
    records: SampleRecords, metrics: Mapping[str, Any], ids: NDArray[np.int64], classes: tuple[str, ...]
) -> tuple[Section, ...]:
    """The figures, the worst images, and the table of the classes."""
    return figures(metrics), worst_images(records, ids, classes), class_table(records, classes)


def figures(metrics: Mapping[str, Any]) -> Table:
    """The five errors."""
    rows = (
        ("class and box, 5 guesses", percent(metrics["top5_localization_error"])),
        ("class and box, 1 guess", percent(metrics["top1_localization_error"])),
        ("box, the class given", percent(metrics["given_class_localization_error"])),
        ("class, 5 guesses", percent(metrics["top5_error"])),
        ("class, 1 guess", percent(metrics["top1_error"])),
    )
    note = f"A box is right where its IoU with a true box is {LEAST_IOU:g} or more."
    return Table("Errors", ("what is wrong", "images"), rows, note)


def worst_images(records: SampleRecords, ids: NDArray[np.int64], classes: tuple[str, ...]) -> Gallery:
    """The images whose box of the true class has the least IoU, at most `WORST`, with this box and the true ones."""
    overlap = given_overlaps(records)
    order = np.argsort(overlap, kind="stable")[:WORST]
    items = []
    for row in order.tolist():
        guess, true = classes[int(records["guesses"][row][0])], classes[int(records["label"][row])]
        taken = () if guess == true else (Span(" taken for "), Span(guess, "strong"))
        caption = (Span(true, "strong"), *taken, Span(f", IoU {overlap[row]:.2f}"))
        outlines = [Outline(_shares(records["given_boxes"][row], records["sizes"][row]), FOUND)]
        outlines += [Outline(_shares(box, records["sizes"][row]), TRUE) for box in records["true_boxes"][row]]
        items.append(GalleryItem(int(ids[row]), caption, outlines=tuple(outlines)))
    more = "" if len(order) == len(ids) else f" The worst {len(order)} of {len(ids):,} are shown."
    note = f"Orange is the box that is given for the true class, green are true boxes.{more}"
    return Gallery("Images by the box of the true class, the worst first", tuple(items), note)


def class_table(records: SampleRecords, classes: tuple[str, ...]) -> Table:
    """The errors of each class that has images, those with the largest localization error first."""
    right, placed = right_guesses(records)
    given = np.asarray(given_overlaps(records) >= LEAST_IOU)
    rows = []
    for number in np.unique(records["label"]).tolist():
        own = records["label"] == number
        errors = tuple(float(1 - each[own].mean()) for each in (np.asarray(placed.any(1)), given, right[:, 0]))
        rows.append((errors, (classes[number], *(f"{error:.2%}" for error in errors), f"{own.sum():,}")))
    rows.sort(key=lambda each: (-each[0][0], -each[0][1]))
    columns = ("class", "class and box, 5 guesses", "box, the class given", "class, 1 guess", "images")
    return Table("Errors by class", columns, tuple(cells for _, cells in rows))


def lines(metrics: Mapping[str, Any], split: str) -> list[str]:
    """The figures."""
    loss = "-" if metrics["loss"] is None else f"{metrics['loss']:.4f}"
    return [
        f"localization error {percent(metrics['top5_localization_error'])} (top-5), "
        f"{percent(metrics['top1_localization_error'])} (top-1), "
        f"{percent(metrics['given_class_localization_error'])} (class given) on {metrics['samples']:,} {split} images",
        f"class error {percent(metrics['top5_error'])} (top-5), {percent(metrics['top1_error'])} (top-1), loss {loss}",
    ]


def columns(records: SampleRecords, classes: tuple[str, ...]) -> dict[str, Sequence[Any]]:
    """For each sample the true class, the most probable one with its box, and the IoU of the box of the true class."""
    overlap = given_overlaps(records)
    first = records["boxes"][:, 0].astype(np.float64)
    sides = {side: first[:, place].tolist() for place, side in enumerate(("left", "top", "right", "bottom"))}
    return {
        "label": [printable(classes[int(number)]) for number in records["label"]],
        "predicted": [printable(classes[int(number)]) for number in records["guesses"][:, 0]],
        **sides,
        "iou": overlap.tolist(),
    }


def _shares(box: NDArray[Any], size: NDArray[Any]) -> tuple[float, float, float, float]:
    """A box in pixels as shares of an image of `size`, height and width."""
    height, width = (max(float(side), 1.0) for side in size)
    left, top, right, bottom = (float(value) for value in box)
    return left / width, top / height, right / width, bottom / height
