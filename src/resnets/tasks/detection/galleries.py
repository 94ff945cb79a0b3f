"""The images of a report: answers beside the truth, the surest wrong answers, the largest objects that were missed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from resnets.core.units import show_count
from resnets.tasks.base import SampleRecords
from resnets.tasks.boxes import areas, intersections
from resnets.tasks.detection.errors import KINDS, Errors
from resnets.tasks.detection.matching import FlatBoxes, Integers
from resnets.tasks.sections import Gallery, GalleryItem, Outline, Part, Span

# Okabe and Ito 2008: to be told apart without colour vision.
RIGHT, WRONG, OTHER, SILENT = (0, 158, 115), (213, 94, 0), (86, 180, 233), (150, 150, 150)
SHOWN_IMAGES, SHOWN_BOXES = 12, 12
MOST_LABELS = 15  # boxes of an image that all have a label; of more, only the wrong and the missed ones
CONTEXT, LEAST_CONTEXT = 1.0, 0.08  # what is shown around a box: of its own sides, and at least of the image's
_COLORS = "Green boxes are found, orange ones wrong or missed, grey ones count for nothing."


def _touching(objects: FlatBoxes, row: int, box: NDArray[np.float64]) -> list[int]:
    """The numbers of the boxes of an image that have something in common with `box` (4,)."""
    own = objects.of(row)
    touching: list[int] = (own.start + np.flatnonzero(intersections(objects.boxes[own], box[None])[:, 0])).tolist()
    return touching


@dataclass(frozen=True, eq=False)
class Shown:
    """What the galleries show: an evaluation and the errors of its answers above the thresholds.

    Args:
        errors: of `errors.above(records, thresholds)`.
        ids: (N,) number in the dataset of each sample.
    """

    records: SampleRecords
    errors: Errors
    ids: NDArray[np.int64]
    classes: tuple[str, ...]

    def share(self, objects: FlatBoxes, number: int) -> Part:
        """A box as shares of its image's width and height."""
        height, width = (max(int(side), 1) for side in self.records["sizes"][objects.image[number]])
        left, top, right, bottom = (float(value) for value in objects.boxes[number])
        return left / width, top / height, right / width, bottom / height

    def around(self, objects: FlatBoxes, number: int) -> Part:
        """A box and what is around it, as shares of its image's width and height."""
        left, top, right, bottom = self.share(objects, number)
        x, y = max(CONTEXT * (right - left), LEAST_CONTEXT), max(CONTEXT * (bottom - top), LEAST_CONTEXT)
        return max(left - x, 0.0), max(top - y, 0.0), min(right + x, 1.0), min(bottom + y, 1.0)

    def name(self, objects: FlatBoxes, number: int) -> str:
        return self.classes[int(objects.labels[number])]

    def answers(self, row: int) -> tuple[Outline, ...]:
        """The answers of an image, the wrong ones first."""
        matches = self.errors.matches
        numbers = np.arange(len(matches.scores))[matches.answers.of(row)]
        wrong = self.errors.kind[numbers] >= 0
        colors = np.where(wrong, 1, np.where(matches.ignored[numbers], 2, 0))
        labels = [f"{self.name(matches.answers, n)} {matches.scores[n]:.0%}" for n in numbers]
        return self._outlines(matches.answers, numbers, colors, labels)

    def truth(self, row: int) -> tuple[Outline, ...]:
        """The true objects of an image, those that were missed first."""
        matches = self.errors.matches
        numbers = np.arange(len(matches.counts))[matches.truth.of(row)]
        counts = matches.counts[numbers]
        colors = np.where(~counts, 2, np.where(matches.finder[numbers] < 0, 1, 0))
        return self._outlines(matches.truth, numbers, colors, [self.name(matches.truth, n) for n in numbers])

    def _outlines(
        self, objects: FlatBoxes, numbers: Integers, colors: Integers, labels: list[str]
    ) -> tuple[Outline, ...]:
        """Boxes with their labels, those of colour 1 first."""
        order = np.argsort(colors != 1, kind="stable")
        with_all = len(numbers) <= MOST_LABELS
        return tuple(
            Outline(
                self.share(objects, int(numbers[place])),
                (RIGHT, WRONG, SILENT)[colors[place]],
                labels[place] if with_all or colors[place] == 1 else "",
            )
            for place in order
        )


def worst_images(shown: Shown) -> Gallery:
    """The images with the most errors, at most `SHOWN_IMAGES`, each with its answers and then with its true objects."""
    matches, samples = shown.errors.matches, len(shown.ids)
    wrong = np.bincount(matches.answers.image[shown.errors.kind >= 0], minlength=samples)
    missed = np.bincount(matches.truth.image[matches.counts & (matches.finder < 0)], minlength=samples)
    order = np.argsort(-(wrong + missed), kind="stable")[:SHOWN_IMAGES]
    items = []
    for row in order.tolist():
        caption = Span(f"{wrong[row]:,} wrong, {missed[row]:,} missed", "strong")
        items.append(GalleryItem(int(shown.ids[row]), (caption,), outlines=shown.answers(row)))
        objects = matches.truth.of(row)
        about = (Span(f"the truth: {show_count(objects.stop - objects.start, 'box', 'boxes')}"),)
        items.append(GalleryItem(int(shown.ids[row]), about, outlines=shown.truth(row)))
    note = "" if len(order) == samples else f" The worst {len(order)} of {samples:,} are shown."
    return Gallery("Images by the number of errors, the most first", tuple(items), _COLORS + note)


def false_positives(shown: Shown) -> Gallery:
    """The wrong answers with the highest scores, at most `SHOWN_BOXES`, each with the true objects near it."""
    errors, matches = shown.errors, shown.errors.matches
    wrong = np.flatnonzero(errors.kind >= 0)
    if not len(wrong):
        return Gallery("Wrong answers", (), "None.")
    items = []
    for number in wrong[np.argsort(-matches.scores[wrong], kind="stable")][:SHOWN_BOXES].tolist():
        row, name = int(matches.answers.image[number]), shown.name(matches.answers, number)
        own = Outline(shown.share(matches.answers, number), WRONG, f"{name} {matches.scores[number]:.0%}")
        near = tuple(
            Outline(shown.share(matches.truth, true), OTHER, shown.name(matches.truth, true))
            for true in _touching(matches.truth, row, matches.answers.boxes[number])
        )
        caption = (
            Span(name, "strong"), Span(f" {matches.scores[number]:.0%}, "), Span(KINDS[errors.kind[number]], "soft")
        )  # fmt: skip
        part = shown.around(matches.answers, number)
        items.append(GalleryItem(int(shown.ids[row]), caption, outlines=(own, *near), part=part))
    title = f"{show_count(len(wrong), 'wrong answer')}, the surest first"
    more = "" if len(wrong) <= SHOWN_BOXES else f" The first {SHOWN_BOXES} are shown."
    return Gallery(title, tuple(items), f"The answer is orange, true objects that it touches are blue.{more}")


def misses(shown: Shown) -> Gallery:
    """The largest objects that no answer has found, at most `SHOWN_BOXES`, each with the answers near it."""
    matches = shown.errors.matches
    missed = np.flatnonzero(matches.counts & (matches.finder < 0))
    if not len(missed):
        return Gallery("Missed objects", (), "None.")
    items = []
    for number in missed[np.argsort(-areas(matches.truth.boxes[missed]), kind="stable")][:SHOWN_BOXES].tolist():
        row, name = int(matches.truth.image[number]), shown.name(matches.truth, number)
        own = Outline(shown.share(matches.truth, number), WRONG, name)
        near = tuple(
            Outline(
                shown.share(matches.answers, answer),
                OTHER,
                f"{shown.name(matches.answers, answer)} {matches.scores[answer]:.0%}",
            )
            for answer in _touching(matches.answers, row, matches.truth.boxes[number])
        )
        left, top, right, bottom = matches.truth.boxes[number]
        caption = (Span(name, "strong"), Span(f" of {right - left:.0f} x {bottom - top:.0f} px"))
        part = shown.around(matches.truth, number)
        items.append(GalleryItem(int(shown.ids[row]), caption, outlines=(own, *near), part=part))
    title = f"{show_count(len(missed), 'missed object')}, the largest first"
    more = "" if len(missed) <= SHOWN_BOXES else f" The first {SHOWN_BOXES} are shown."
    return Gallery(title, tuple(items), f"The object is orange, answers that touch it are blue.{more}")
