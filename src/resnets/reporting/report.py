"""`report.html`, one self-contained page on how a model does and where it errs, and `predictions.csv`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from resnets.artifacts.model_file import ModelCard
from resnets.core.files import write_bytes, write_csv
from resnets.data.leaks import recorded_leak, started
from resnets.evaluation.scoring import Scores
from resnets.modalities.base import Dataset
from resnets.modalities.inputs import open_reader
from resnets.reporting.charts import line_chart
from resnets.reporting.heat_map import heat_map
from resnets.reporting.pages import inline_svg, render
from resnets.reporting.scatter import scatter_plot, swatches
from resnets.reporting.sections import facts, loss_chart, not_to_be_trusted, notes, on_test, unreadable
from resnets.reporting.thumbnails import thumbnail
from resnets.tasks.base import Task
from resnets.tasks.catalog import open_task
from resnets.tasks.classification.interval import clustered
from resnets.tasks.classification.wrong_labels import likely_wrong, probabilities
from resnets.tasks.samples import SampleFacts
from resnets.tasks.sections import Charts, Paragraph, Section, Span


def write_report(
    path: Path,
    *,
    title: str,
    scores: Scores,
    dataset: Dataset,
    card: ModelCard,
    history: Sequence[dict[str, Any]] = (),
    samples: SampleFacts | None = None,
    command: str | None = None,
    predictions: str | None = None,
    leak: str | None = None,
    test: Mapping[str, Any] | None = None,
) -> None:
    """Writes the page to `path`, or leaves `path` as it was and raises `FileError`.

    Args:
        dataset: the samples that were scored; its class names may be fewer than the model's.
        history: the events of the training run whose data was scored; empty where it is not known, or other data was.
        samples: what is known of them besides their scores.
        command, predictions: see `sections.facts`.
        leak: says that samples were trained on, where `history` does not know of it.
        test: the metrics on `test` where another split was watched, with what `interval.clustered` adds.
    """
    task, noun = open_task(card.settings), card.preprocessing.noun
    metrics = scores.metrics
    if samples is not None and samples.groups is not None:
        metrics = metrics | clustered(scores.records, samples.groups.of)
    leak = leak or recorded_leak(history, scores.split, len(dataset))
    verdict = task.verdict(scores.records, metrics, card.classes, _up_to_model(history, card.metrics.get("loss")))
    if leak is not None:
        verdict = not_to_be_trusted(leak)
    remarks = task.remarks(scores.records, metrics, scores.split)
    sections: list[Section] = [
        task.headline(title, metrics, scores.split),
        *([on_test(task, test)] if test is not None else []),
        *([verdict] if verdict is not None else []),
        *(Paragraph((Span(each),)) for each in remarks),
        facts(card, history, command=command, predictions=predictions),
        *_curves(task, history, noun),
        *task.sections(scores.records, metrics, scores.ids, card.classes, samples),
        *([unreadable(scores.excluded, noun)] if scores.excluded else []),
        *notes([*started(history).get("notes", ()), *scores.notes], apart_from=(*remarks, leak)),
    ]
    page = render(
        "report.html",
        title=title,
        sections=sections,
        svg=lambda chart: inline_svg(line_chart(chart)),
        scatter=lambda section: inline_svg(scatter_plot(section)),
        swatches=swatches,
        heat_map=lambda section: inline_svg(heat_map(section)),
        thumbnail=partial(thumbnail, dataset, open_reader(card.preprocessing)),
        name=dataset.name,
    )
    write_bytes(path, page)


def _up_to_model(history: Sequence[dict[str, Any]], loss: float | None) -> Sequence[dict[str, Any]]:
    """The events up to the evaluation of the model, which had this loss; where there was none, as of a soup, all, and
    one more evaluation with it."""
    evaluations = [(place, event) for place, event in enumerate(history) if event["event"] == "evaluation"]
    if not evaluations or loss is None:
        return history
    for place, event in evaluations:
        if event.get("loss") == loss:
            return history[: place + 1]
    return [*history, {**evaluations[-1][1], "loss": loss}]


def write_predictions(path: Path, scores: Scores, dataset: Dataset, card: ModelCard) -> None:
    """Writes a CSV with a row for each sample that was scored, in the order of `dataset`; see `write_csv`.

    The name of the sample is in the first column, the columns of the task follow. For one version, the name is again in
    the last column of what version 0.2 would have written, under the old name.
    """
    names = [dataset.name(int(number)) for number in scores.ids]
    columns = {card.preprocessing.noun: names, **open_task(card.settings).columns(scores.records, card.classes)}
    if card.has_old_names:
        columns["picture"] = names  # the old name of `image`
    write_csv(path, [tuple(columns), *zip(*columns.values(), strict=True)])


def write_wrong_labels(path: Path, scores: Scores, dataset: Dataset, card: ModelCard) -> None:
    """Writes a CSV of the samples whose label is likely wrong, the most suspicious first, for `check --relabel`.

    Its columns are path, label, suggested (another class), and the probabilities of the two by the logits as they are.
    """
    records, classes = scores.records, card.classes
    rows: list[tuple[str | float, ...]] = [("path", "label", "suggested", "of_label", "of_suggested")]
    both = probabilities(records)
    for row in likely_wrong(records):
        label, predicted = (classes[int(records[name][row])] for name in ("label", "predicted"))
        of_label, of_predicted = (float(each[row]) for each in both)
        rows.append((dataset.name(int(scores.ids[row])), label, predicted, of_label, of_predicted))
    write_csv(path, rows)


def _curves(task: Task, history: Sequence[dict[str, Any]], noun: str) -> tuple[Charts, ...]:
    steps = [e for e in history if e["event"] == "step"]
    evaluations = [e for e in history if e["event"] == "evaluation"]
    if not steps or not evaluations:
        return ()
    split = evaluations[-1].get("split", "test")
    charts = (loss_chart(steps, evaluations, split), task.error_chart(evaluations, split))
    note = f"The training loss is that of augmented {noun}s, with label smoothing where the recipe has it."
    return (Charts("Curves", charts, note),)
