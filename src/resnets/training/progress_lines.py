"""The lines that a person reads of a run, from its events."""

from __future__ import annotations

import math

from resnets.core.units import show_count, some
from resnets.tasks.catalog import SETTINGS, find
from resnets.tasks.metric import Metric
from resnets.training.events import Event

MOST_SHOWN = 20  # classes in a line


def greeting(event: Event) -> list[str]:
    """Returns the lines that a run begins with, of its start event."""
    environment = event["environment"]
    evaluated = f"in {event['split']}" if "split" in event else "to evaluate on"  # version 0.1.0 does not say
    where = f"{environment['device']} ({environment['hardware']}), {show_count(environment['threads'], 'thread')}"
    return [
        f"{event['recipe']}: {event['parameters']:,} parameters, "
        f"{show_count(event['train_samples'], noun_of(event))} to train on, {event['test_samples']:,} "
        f"{evaluated}; {show_count(event['steps'], 'step')} "
        f"({event['epochs']:.4g} {'epoch' if event['epochs'] == 1 else 'epochs'})",
        f"on {where}, {environment['precision']}, {environment['layout']}, eager",
        *([event["data"]] if "data" in event else []),  # version 0.2 does not say
        *(f"Note: {note}" for note in event["notes"]),
    ]


def headline_of(start: Event) -> Metric:
    """Returns the metric that says most about a run, of its start event; versions 0.1 and 0.2 do not name the task."""
    return find(start.get("task", SETTINGS[0].name)).metrics[0]


def noun_of(start: Event) -> str:
    """Returns what a sample of a run is called, such as "image", of its start event."""
    return str(start.get("noun", "image"))


def ending_line(event: Event) -> str | None:
    """Returns an end event in one line where the run ended before its plan, else None."""
    return f"stopped after step {event['step']:,}: {event['reason']}" if "reason" in event else None


def probe_line(event: Event) -> str:
    """Returns in one line the classes that the weights recognize, of a probe's event."""
    known = event["recognized"]
    shown = some((f"{own} as {theirs}" for own, theirs in known.items()), MOST_SHOWN)
    return f"The weights know {show_count(len(known), 'class', 'classes')} by another name: {shown}."


def evaluation_line(event: Event, samples_per_second: float, headline: Metric, noun: str) -> str:
    """Returns an evaluation event in one line; without the speed where that is NaN, as before the first step."""
    split = event.get("split", "test")
    value = headline.show(event.get(headline.name))
    speed = "" if math.isnan(samples_per_second) else f"  {samples_per_second:,.0f} {noun}s/s"
    loss = "-" if event["loss"] is None else f"{event['loss']:.4f}"  # no pixel counts, such as where all are void
    return (
        f"epoch {event['epoch']:6.1f}  step {event['step']:7,}  {split} {headline.name} {value:>7}  "
        f"{split} loss {loss}{speed}"
    )


def short_evaluation_line(event: Event, headline: Metric) -> str:
    """As `evaluation_line`, for a narrow terminal."""
    value = headline.show(event.get(headline.name))
    loss = "" if event["loss"] is None else f"  loss {event['loss']:.4f}"
    return f"epoch {event['epoch']:.4g}  {event.get('split', 'test')} {headline.name} {value}{loss}"


def soup_line(event: Event) -> str:
    """The line of a soup, such as "The model is the average of the weights after steps 20 and 40, of 3 tried"."""
    *first, last = map(str, sorted(event["kept"]))
    if not first:
        return f"The model is that of step {last}: no average of the best {event['tried']} was as good on val."
    steps = f"{', '.join(first)} and {last}"
    return f"The model is the average of the weights after steps {steps}, of {event['tried']} tried."
