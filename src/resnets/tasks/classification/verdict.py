"""Whether a classifier can be trusted and what to do next, by rules."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from resnets.core.units import show_count
from resnets.data.leaks import started
from resnets.tasks.base import SampleRecords
from resnets.tasks.classification.interval import interval_of
from resnets.tasks.classification.metrics import confusion_matrix
from resnets.tasks.sections import Paragraph, Span

WIDE = 0.1  # width of the accuracy's interval from which on it says too little
RARE, BELOW = 10.0, 0.05  # how often the rarest class is outnumbered, and the mean recall below the accuracy
RISES = 1.25  # how many times the least loss the last one is, where a run goes on for too long
GAP = 4.0, 0.2  # times the loss of training, and nats above that, from which on the loss of new samples is overfitting
PAIR, LEAST_ERRORS = 0.3, 5  # share of the errors that two classes have with each other, and how many
UNSURE, LEAST_SAMPLES = 0.05, 200  # calibration error, and the samples from which on it says something
FEW, GOOD = 50, 0.97  # training samples a class, and the accuracy above which they are enough


def verdict(
    records: SampleRecords, metrics: Mapping[str, Any], classes: tuple[str, ...], history: Sequence[Mapping[str, Any]]
) -> Paragraph | None:
    """The verdict on a model, and what to do next; None without samples.

    It is unknown where the interval of the accuracy is wider than `WIDE`, and the model is to be used with care where a
    rule below finds something. That samples were trained on is for the caller to say, in the place of all that.

    Args:
        metrics: of the records, where there are groups with what `interval.clustered` adds.
        history: the events of the run up to the evaluation of this model; empty where they are not known, or other data
            was scored.
    """
    samples = metrics["samples"]
    if not samples:
        return None
    start = started(history)
    low, high = interval_of(metrics)
    found = [
        *_rare_classes(metrics),
        *_overfitting(metrics, history),
        *_pair(records, classes),
        *_calibration(metrics),
        *_few(metrics, start, len(classes)),
    ]
    if high - low > WIDE:
        head, needed = _too_few(metrics, high - low)
        found.insert(0, f"The accuracy may be anywhere from {low:.0%} to {high:.0%}: test on {needed} or more.")
    elif found:
        head = "To be used with care."
    else:
        head = "Nothing speaks against this model."
        known = f"Its accuracy is known to {50 * (high - low):.1f} points"
        fits = ", and it does not overfit" if start else ""
        found.append(f"{known}, no class and no pair of classes stands out{fits}. Its worst errors are below.")
    return Paragraph((Span(head, "strong"), Span(" " + " ".join(found))))


def _too_few(metrics: Mapping[str, Any], width: float) -> tuple[str, str]:
    """What there is too little of, and how much of it would do: samples, or their groups."""
    if "groups" in metrics:
        needed = math.ceil(metrics["groups"] * (width / WIDE) ** 2 / 5) * 5
        return f"Samples of {show_count(metrics['groups'], 'group')} are too few to tell.", f"{needed:,} groups"
    share = min(max(metrics["accuracy"], 0.02), 0.98)
    needed = math.ceil(share * (1 - share) * (2 * 1.96 / WIDE) ** 2 / 50) * 50
    return f"{show_count(metrics['samples'], 'sample')} are too few to tell.", f"{needed:,}"


def _rare_classes(metrics: Mapping[str, Any]) -> list[str]:
    known = {name: each for name, each in metrics["classes"].items() if each["support"]}
    support = [each["support"] for each in known.values()]
    if not support or max(support) < RARE * min(support) or metrics["accuracy"] - metrics["balanced_accuracy"] < BELOW:
        return []
    worst = sorted(known, key=lambda name: known[name]["recall"])[:3]
    return [
        f"Classes differ in their number, and rare ones are recognised worse: their mean recall is "
        f"{metrics['balanced_accuracy']:.1%}. Train with --balance sampling, and collect more of {', '.join(worst)}."
    ]


def _overfitting(metrics: Mapping[str, Any], history: Sequence[Mapping[str, Any]]) -> list[str]:
    losses = [(e["loss"], e["epoch"]) for e in history if e["event"] == "evaluation" and e.get("loss") is not None]
    if losses and losses[-1][0] > RISES * min(losses)[0]:
        return [
            f"Since epoch {min(losses)[1]:.3g} the loss on new samples rises: it overfits. Train with --patience 5 or "
            "for fewer epochs; more samples or stronger augmentations help most."
        ]
    steps = [event["loss"] for event in history if event["event"] == "step" and event.get("loss") is not None]
    if steps and metrics["accuracy"] < GOOD:
        last = float(np.mean(steps[-max(1, len(steps) // 10) :]))
        if metrics["loss"] > GAP[0] * last + GAP[1]:
            return [
                f"It has learned its training samples by heart (loss {last:.2g}) and does far worse on new ones "
                f"({metrics['loss']:.2g}): it overfits. More samples, stronger augmentations or --weights help."
            ]
    return []


def _pair(records: SampleRecords, classes: tuple[str, ...]) -> list[str]:
    if len(classes) < 3:
        return []
    counts = confusion_matrix(records, len(classes))
    errors = np.triu(counts + counts.T, 1)
    total, most = int(errors.sum()), int(errors.max())
    if most < LEAST_ERRORS or most < PAIR * total:
        return []
    first, second = (classes[int(i)] for i in np.unravel_index(errors.argmax(), errors.shape))
    return [
        f"{most:,} of {total:,} errors are between {first} and {second}: look at the labels of these two, and collect "
        "more of both."
    ]


def _calibration(metrics: Mapping[str, Any]) -> list[str]:
    error = metrics["ece"]
    if error is None or error <= UNSURE or metrics["samples"] < LEAST_SAMPLES:
        return []
    advice = " Train with --val-share 0.2: its confidence is then calibrated." if "temperature" not in metrics else ""
    return [f"Its confidence is off by {100 * error:.0f} points in the mean.{advice}"]


def _few(metrics: Mapping[str, Any], start: Mapping[str, Any], classes: int) -> list[str]:
    trained = start.get("train_samples")
    if trained is None or trained >= FEW * classes or metrics["accuracy"] >= GOOD:
        return []
    return [f"{trained / classes:.0f} training samples a class are few: more of them, or --weights, help most."]
