"""The sections that a report has whatever the task: facts of the model and its run, the curves, unreadable samples."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from resnets.artifacts.model_file import ModelCard
from resnets.core.units import show_count
from resnets.models import counts
from resnets.tasks.base import Task
from resnets.tasks.sections import Chart, Code, Curve, Facts, Items, Link, Paragraph, Span

LISTED = 50  # unreadable samples that are listed by name


def not_to_be_trusted(leak: str) -> Paragraph:
    """What stands in the place of a verdict, where the samples were trained on.

    Args:
        leak: why; a sentence.
    """
    return Paragraph((Span("These figures cannot be trusted.", "strong"), Span(f" {leak}")))


def facts(
    card: ModelCard,
    history: Sequence[dict[str, Any]] = (),
    *,
    command: str | None = None,
    predictions: str | None = None,
) -> Facts:
    """The network, its input, how it was trained, and how that is repeated.

    Args:
        history: the events of the training run.
        command: that repeats the run.
        predictions: the name of the file beside the page that has the answer to each sample.
    """
    spec, p = card.spec, card.preprocessing
    size = p.shape()[0] if len(set(p.shape())) == 1 else p.shape()
    rows: list[tuple[str, str | Code | Link]] = [
        (
            "Network",
            f"{spec.block} blocks, {'-'.join(map(str, spec.depths))}, shortcut {spec.shortcut}, "
            f"stride in {spec.stride_in}, {spec.activation}",
        ),
        ("Parameters", f"{counts.parameters(spec):,}"),
        ("Multiply-adds", f"{counts.multiply_adds(spec, size):,} at {' x '.join(map(str, p.shape()))}"),
        ("Input", p.summary),
    ]
    recipe, environment = card.recipe, card.environment
    if recipe:
        rows.append(("Recipe", f"{recipe.get('name')}, data {recipe.get('data')}, seed {recipe.get('seed')}"))
    if environment:
        rows.append(("Trained on", f"{environment.get('hardware')}, {environment.get('precision')}"))
    planned = [(event["epochs"], event["total"]) for event in history if event["event"] == "plan"]
    rows += [
        ("Length", f"{epochs:.1f} epochs, {show_count(steps, 'step')}")
        for event in history
        if event["event"] == "start"
        for epochs, steps in (planned or [(event["epochs"], event["steps"])])[-1:]
    ]
    rows += [
        ("Extended", f"by {event['epochs']:.4g} epochs, from step {event['step']:,}")
        for event in history
        if event["event"] == "extension"
    ]
    if recipe and recipe.get("minutes") is not None:
        rows.append(("Time budget", f"{recipe['minutes']:g} minutes: how many steps fit depends on the machine"))
    if command is not None:
        rows.append(("To repeat it", Code(command)))
    if predictions is not None:
        rows.append(("Each answer", Link(predictions)))
    return Facts(tuple(rows))


def on_test(task: Task, metrics: Mapping[str, Any]) -> Paragraph:
    """What a run's model reaches on `test`, which it is scored on once, beside the split that it was watched on."""
    return Paragraph(
        (*task.headline("", metrics, "test").spans, Span(", scored once, when training had ended.", "soft"))
    )


def notes(lines: Iterable[str], *, apart_from: Collection[str | None]) -> list[Items]:
    """What is known of how the data was read and how the run was planned, each line once; none without any."""
    found = tuple(line for line in dict.fromkeys(lines) if line not in apart_from)
    return [Items("Notes", found)] if found else []


def loss_chart(steps: Sequence[dict[str, Any]], evaluations: Sequence[dict[str, Any]], split: str) -> Chart:
    """The loss by epoch in training and on `split`, from the run's `step` and `evaluation` events."""
    events = ((split, evaluations), ("training", steps))  # so that the split has the colour it has in the next chart
    curves = tuple(Curve(name, [(e["epoch"], e["loss"]) for e in each]) for name, each in events)
    return Chart("loss", "epoch", curves)


def unreadable(excluded: Mapping[int, str], noun: str) -> Items:
    """The samples that could not be read, the first `LISTED` with their reasons.

    Args:
        excluded: message by number of the sample.
        noun: what a sample is called, such as "image".
    """
    count = len(excluded)
    title = f"{show_count(count, noun)} could not be read, and no metric counts {'it' if count == 1 else 'them'}"
    note = "" if count <= LISTED else f"The first {LISTED} are listed."
    return Items(title, tuple(excluded.values())[:LISTED], note)
