"""The runs of all folds, evaluated together: every sample once, by the model that was not trained on it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resnets.core.errors import FileError, UsageError

if TYPE_CHECKING:
    from resnets.commands.evaluated import Evaluated


def folds_in(folder: Path, *, data: Any, split: str | None) -> tuple[Path, ...]:
    """The runs of all folds in `folder`; empty where it is no folder of folds.

    Raises:
        UsageError: they are asked about other data, about another split, or by several ranks.
        FileError: one is not finished.
    """
    from resnets.training.distributed import world_size
    from resnets.training.folds import read_folds

    plan = read_folds(folder) if os.path.isdir(folder) else None
    if plan is None:
        return ()
    if data is not None or split not in (None, "test"):
        raise UsageError(f"Folds are evaluated on the samples that each held out: give one of them, {folder}/fold-1.")
    if world_size() > 1:
        raise UsageError("With several ranks, evaluate the folds one by one.")
    runs = tuple(folder / f"fold-{number}" for number in range(1, plan.count + 1))
    if missing := [run for run in runs if not (run / "model.safetensors").exists()]:
        raise FileError(f"{missing[0]} is not finished: resnets resume {folder}")
    return runs


def pooled(folds: Sequence[Evaluated], unknown_below: float | None) -> Evaluated:
    """The scores of all folds as those of one model, whose samples are numbered as in the whole data.

    What was fitted to one fold, such as its thresholds, is not used for all.
    """
    from resnets.modalities.base import Subset
    from resnets.tasks.unknown import with_threshold

    first = folds[0].model
    settings = with_threshold(first.card.settings.for_other_classes(), unknown_below)
    model = replace(first, card=replace(first.card, settings=settings))
    parts: list[NDArray[np.int64]] = []
    excluded: dict[int, str] = {}
    for each in folds:
        assert isinstance(each.dataset, Subset)
        numbers = each.dataset.indices
        parts.append(numbers[each.scores.ids])
        excluded |= {int(numbers[index]): reason for index, reason in each.scores.excluded.items()}
    ids = np.concatenate(parts)
    order = np.argsort(ids, kind="stable")
    names = set.intersection(*(set(each.scores.records) for each in folds))
    records = {name: np.concatenate([each.scores.records[name] for each in folds])[order] for name in sorted(names)}
    assert isinstance(folds[0].dataset, Subset)
    scores = replace(
        folds[0].scores,
        ids=ids[order],
        records=records,
        metrics=model.task.metrics(records, model.classes),
        excluded=dict(sorted(excluded.items())),
        damaged={name: reason for each in folds for name, reason in each.scores.damaged.items()},
        notes=tuple(dict.fromkeys(note for each in folds for note in each.scores.notes)),
    )
    return replace(folds[0], scores=scores, dataset=folds[0].dataset.dataset, model=model, predictor=None, history=())
