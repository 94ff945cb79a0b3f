"""Runs that end with a model of no use: one whose loss is not finite, or that answers one class alone.

Such a run has ended: its models, its report and its log are there, and the end event in the log says what is wrong.
`train` and `resume` then raise TrainingError, and the command line exits with 1.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence

import numpy as np

from resnets.evaluation.scoring import Scores
from resnets.training.budget import LEAST_STEPS, USEFUL_STEPS
from resnets.training.events import Event
from resnets.training.length import RunLength
from resnets.training.recipe import Recipe
from resnets.training.run_folder import RunFolder
from resnets.training.run_log import read_log

SHORT = 0.5  # of the steps that were planned first: a run that ends with fewer says so
LEAST_SAMPLES = 10  # of the evaluated split: of fewer, a model may well put all into one class by chance


def problem_of(
    recipe: Recipe, history: Sequence[Event], scores: Scores, classes: Sequence[str], *, steps: int, samples: int
) -> str | None:
    """What makes the model of a run of no use, in words, with the way out; None where nothing does.

    - The loss of the last steps that were logged is not finite, which `nonfinite=skip` lets happen.
    - The loss on the evaluated split is not finite.
    - All samples of the evaluated split, `LEAST_SAMPLES` or more, get one class, and their labels have several. A run
      of a few steps, such as a trial, gives such a model rightly: this counts after an epoch, or after
      `USEFUL_STEPS` where an epoch has more, and never before `LEAST_STEPS`; so is a time budget (`training.budget`).

    Args:
        history: the events so far.
        scores: of model.safetensors.
        classes: of the model.
        steps: that were done.
        samples: size of the training set.
    """
    rate = f"optimizer.lr={recipe.optimizer.lr / 10:g}"
    last: Event = next((event for event in reversed(history) if event["event"] == "step"), {})
    if last and not _is_finite(last["loss"]):
        return (
            f"The loss of training ended as {_shown(last['loss'])} at step {last['step']:,}: training diverged. Train "
            f"anew with a lower rate ({rate}), with a warm-up (warmup=Warmup) or with clip_norm=1."
        )
    loss = scores.metrics.get("loss")
    recorded = "loss" in scores.records  # else it takes a pass of its own, which was not done
    void = not scores.metrics.get("pixels", 1)  # a split all of whose pixels are void has no loss
    if recorded and not void and not _is_finite(loss):
        return (
            f"The loss on {scores.split} ended as {_shown(loss)}: the model's outputs are not finite. Train anew with "
            f"a lower rate ({rate}), with a warm-up (warmup=Warmup) or with clip_norm=1."
        )
    if steps < max(LEAST_STEPS, min(math.ceil(samples / recipe.batch), USEFUL_STEPS)):
        return None
    alone = _lone_class(scores)
    if alone is None:
        return None
    number, there = alone
    balance = "" if recipe.balance is not None else " If one class has most of the samples, add --balance sampling."
    return (
        f"The model answers one class alone, {classes[number]!r}, where {scores.split} has {there} classes: it has not "
        f"learnt to tell them apart. Train anew with a lower rate ({rate}) or for longer (--epochs).{balance}"
    )


def worse_than_probe(recipe: Recipe, history: Sequence[Event], scores: Scores) -> str | None:
    """What a person should know of a run whose model answers fewer samples rightly than the linear probe that it began
    with did in cross-validation, by more than two standard deviations of drawing both; None where that is not so.

    Args:
        history: the events so far.
        scores: of model.safetensors.
    """
    begun: Event = next((event for event in reversed(history) if event["event"] == "probe"), {})
    before, after, head_alone = begun.get("accuracy"), scores.metrics.get("accuracy"), len(recipe.model.depths) + 1
    if before is None or after is None or recipe.fine_tuning.freeze >= head_alone:
        return None
    variance = before * (1 - before) / begun["held_out"] + after * (1 - after) / len(scores.ids)
    if before - after <= 2 * math.sqrt(variance):
        return None
    return (
        f"The accuracy on {scores.split} is {after:.1%}, and that of the linear probe that the run began with was "
        f"{before:.1%} in cross-validation. Where {scores.split} is like the training samples, the layers have "
        f"unlearnt some of it: train the head alone (fine_tuning.freeze={head_alone}), for longer, or at a lower rate "
        f"(optimizer.lr={recipe.optimizer.lr / 3:.1g})."
    )


def shortfall(length: RunLength, minutes: float | None) -> str | None:
    """What a person should know of a run with a time budget of `minutes` that ends with less than `SHORT` of the steps
    that were planned first; None of any other run."""
    if minutes is None or not length.planned or length.planned[-1].total >= SHORT * length.planned[0].total:
        return None
    return (
        f"{length.planned[-1].total:,} of the {length.planned[0].total:,} steps that were planned first fitted into "
        f"{minutes:g} minutes, since the machine became slower. The model may be worse than one of a whole run: train "
        "anew where nothing else runs, or give more minutes."
    )


def recorded_problem(folder: RunFolder) -> str | None:
    """What the log of a run says is wrong with its model, where the run has ended so; None where nothing is."""
    events = read_log(folder.log) if os.path.lexists(folder.log) else []
    last: Event = next((event for event in reversed(events) if event["event"] == "end"), {})
    problem = last.get("problem")
    return f"{problem} Everything is kept in {folder.path}." if isinstance(problem, str) else None


def _lone_class(scores: Scores) -> tuple[int, int] | None:
    """The one class that a model answers with, and how many classes the labels have; None where there are not several
    of these, or where there are several answers."""
    records = scores.records
    if "label" in records and "predicted" in records:
        predicted, true = (np.unique(records[name]) for name in ("predicted", "label"))
    elif "true" in records and "predicted" in records:  # pixels of each class, of a segmentation
        predicted, true = (np.flatnonzero(records[name].sum(0)) for name in ("predicted", "true"))
    else:
        return None
    enough = "true" in records or len(scores.ids) >= LEAST_SAMPLES
    return (int(predicted[0]), len(true)) if enough and len(predicted) == 1 and len(true) > 1 else None


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _shown(value: object) -> str:
    return "infinity or no number" if value is None else str(value)
