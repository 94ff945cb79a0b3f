"""Wrong labels for `trust.py`: how they are planted, and how many of them a ranking by suspicion finds."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from photographs_data import Sample

SHARE = 0.05  # of the labels that are planted wrong
FIRST = 0.1  # of the ranking, among which they are looked for


def plant(samples: Sequence[Sample], share: float = SHARE, seed: int = 0) -> list[Sample]:
    """`samples` with round(`share` N) labels replaced by another class, each of the others as likely."""
    generator = np.random.default_rng(seed)
    classes = sorted({each.label for each in samples})
    planted = list(samples)
    for number in generator.permutation(len(samples))[: round(share * len(samples))].tolist():
        own = classes.index(samples[number].label)
        other = (own + int(generator.integers(1, len(classes)))) % len(classes)
        planted[number] = samples[number]._replace(label=classes[other])
    return planted


def found(answers: Path, truth: Mapping[str, str]) -> dict[str, Any]:
    """What the files of `evaluate --out` say of labels of which some are wrong.

    Args:
        answers: folder with predictions.csv and wrong_labels.csv.
        truth: the right label by the name of each file.

    Returns:
        "found": the share of the wrong labels that are among the first tenth of all samples by suspicion. Of
        wrong_labels.csv, "listed": its rows, "listed_wrong": those whose label is wrong, and "wrong_after": the wrong
        labels that remain once all its suggestions are followed.
    """
    ranked = sorted(_rows(answers / "predictions.csv"), key=lambda row: -float(row["suspicion"]))
    right = [truth[Path(row["image"]).name] for row in ranked]
    wrong = np.array([row["label"] != label for row, label in zip(ranked, right, strict=True)])
    answered = np.array([row["predicted"] == label for row, label in zip(ranked, right, strict=True)])
    first, planted = round(FIRST * len(ranked)), int(wrong.sum())
    listed = _rows(answers / "wrong_labels.csv")
    of_listed = [(row, truth[Path(row["path"]).name]) for row in listed]
    listed_wrong = sum(row["label"] != label for row, label in of_listed)
    mistaken = sum(row["suggested"] != label for row, label in of_listed)
    return {
        "samples": len(ranked),
        "planted": planted,
        "first": first,
        "among_first": int(wrong[:first].sum()),
        "found": float(wrong[:first].sum() / planted),
        "accuracy_by_right_labels": float(answered.mean()),
        "listed": len(listed),
        "listed_wrong": listed_wrong,
        "wrong_after": planted - listed_wrong + mistaken,
    }


def _rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))
