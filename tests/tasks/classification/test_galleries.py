"""Errors and labels to look at: each sample is shown once; and the classes that are taken for each other."""

from __future__ import annotations

import numpy as np

from resnets.tasks.base import SampleRecords
from resnets.tasks.classification.confusions import confused_pairs
from resnets.tasks.classification.metrics import metrics
from resnets.tasks.classification.report import WORST_ERRORS, sections, worst_errors, wrong_labels
from resnets.tasks.classification.wrong_labels import likely_wrong
from resnets.tasks.sections import GalleryItem

CLASSES = ("cat", "dog")


def records_of(errors: int, *, sure: int) -> SampleRecords:
    """A hundred right answers and errors, of which so many are as sure as these; the unsure ones have more loss."""
    samples = 100 + errors
    label = np.arange(samples) % 2
    wrong = np.arange(samples) >= 100
    confidence = np.where(wrong, 0.6, 0.9)
    confidence[100 : 100 + sure] = 0.99
    loss = np.where(wrong, 5.0, 0.1)
    loss[100 : 100 + sure] = 4.6
    return {"label": label, "predicted": np.where(wrong, 1 - label, label), "confidence": confidence, "loss": loss}


def text_of(item: GalleryItem) -> str:
    return "".join(span.text for span in item.caption)


def test_a_small_report_shows_each_error_once_and_marks_its_label() -> None:
    records, ids = records_of(6, sure=2), np.arange(106) * 10
    assert sorted(likely_wrong(records)) == [100, 101]
    errors = worst_errors(records, ids, CLASSES)
    assert wrong_labels(records, ids, CLASSES) is None
    assert len(errors.items) == 6
    marked = [item.sample for item in errors.items if text_of(item).endswith("(99%), look at the label")]
    assert sorted(marked) == [1000, 1010]
    assert errors.note.startswith("2 labels to look at: another class is predicted as surely")
    assert "look at the label" not in "".join(text_of(item) for item in errors.items if item.sample not in marked)


def test_labels_that_are_not_among_the_worst_errors_are_shown_besides() -> None:
    records, ids = records_of(40, sure=25), np.arange(140)
    errors, labels = worst_errors(records, ids, CLASSES), wrong_labels(records, ids, CLASSES)
    assert labels is not None
    assert labels.title == "25 labels to look at"
    shown = {item.sample for item in errors.items}
    above = {row for row in likely_wrong(records).tolist() if row in shown}
    assert len(shown) == WORST_ERRORS
    assert {item.sample for item in labels.items} == set(likely_wrong(records).tolist()) - above
    assert f"{len(above)} of them are marked among the errors above." in labels.note
    assert labels.note.startswith("Another class is predicted as surely as where it is the label (confident learning)")
    assert not errors.note.endswith("wrong_labels.csv.")


def test_where_none_is_suspicious_nothing_is_said_of_labels() -> None:
    records, ids = records_of(3, sure=0), np.arange(103)
    assert wrong_labels(records, ids, CLASSES) is None
    assert worst_errors(records, ids, CLASSES).note == ""


def test_the_pairs_most_often_taken_for_each_other_are_shown_surest_first() -> None:
    classes = ("cat", "dog", "hen", "owl")
    label = np.array([0, 0, 1, 2, 3, 3, 0, 2])
    predicted = np.array([1, 1, 0, 3, 2, 2, 2, 2])
    confidence = np.array([0.5, 0.7, 0.9, 0.4, 0.6, 0.5, 0.99, 0.99])
    shown = confused_pairs({"label": label, "predicted": predicted, "confidence": confidence}, np.arange(8), classes)
    assert shown is not None
    assert [item.sample for item in shown.items] == [2, 1, 0, 4, 5, 3]  # a single error is no pair
    assert text_of(shown.items[0]) == "dog taken for cat (90%)"
    assert "cat\N{POP DIRECTIONAL ISOLATE} and \N{FIRST STRONG ISOLATE}dog\N{POP DIRECTIONAL ISOLATE} (3)" in shown.note


def test_images_of_pairs_are_shown_where_not_every_error_is_shown_already() -> None:
    classes = (*CLASSES, "hen")
    for errors, titles in ((WORST_ERRORS, 0), (WORST_ERRORS + 1, 1)):
        records = records_of(errors, sure=0)
        records["rank"] = (records["label"] != records["predicted"]).astype(np.int64)
        found = sections(records, metrics(records, classes), np.arange(100 + errors), classes)
        assert [getattr(each, "title", "") for each in found].count("Classes most often taken for each other") == titles
