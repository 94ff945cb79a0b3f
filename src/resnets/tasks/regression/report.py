"""What a report and the terminal say of a regression: its errors, their size and where on the scale they lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnets.tasks.base import SampleRecords
from resnets.tasks.regression.settings import Regress
from resnets.tasks.robustness import corruption_charts, corruption_lines
from resnets.tasks.sections import Chart, Charts, Curve, Gallery, GalleryItem, Headline, Section, Span, Table

WORST = 24
PARTS = 10  # of the samples by target, each a point of the chart and a row of the table
POINTS = 101  # of the chart of errors


def headline(title: str, metrics: Mapping[str, Any], split: str) -> Headline:
    """The mean absolute error and R².

    Args:
        metrics: of `regression.metrics.metrics`.
        split: the split that was scored.
    """
    return Headline(
        title,
        (
            Span(f"Mean absolute error {metrics['mae']:.4g}", "strong"),
            Span(f" on {metrics['samples']:,} {split} samples "),
            Span(f"(R² {_number(metrics['r2'], '.4f')}, root mean squared error {metrics['rmse']:.4g})", "soft"),
        ),
    )


def mae_chart(evaluations: Sequence[Mapping[str, Any]], split: str) -> Chart:
    """The mean absolute error on `split` by epoch, from the run's `evaluation` events."""
    return Chart(
        f"{split} mean absolute error", "epoch", (Curve(split, [(e["epoch"], e["mae"]) for e in evaluations]),)
    )


def sections(records: SampleRecords, metrics: Mapping[str, Any], ids: NDArray[Any]) -> tuple[Section, ...]:
    """The samples with the largest errors, charts of the errors, corrupted images where they were evaluated, and a
    table of the errors by target.

    Args:
        records: of `regression.metrics.evaluate_batch`.
        metrics: of `regression.metrics.metrics`.
        ids: (N,) number in the dataset of each sample of `records`.
    """
    target, predicted = records["target"].astype(np.float64), records["predicted"]
    return (
        worst_samples(target, predicted, ids),
        charts(target, predicted),
        *corruption_charts(metrics, Regress.metrics[0]),
        table_by_target(target, predicted),
    )


def worst_samples(target: NDArray[np.float64], predicted: NDArray[np.float64], ids: NDArray[Any]) -> Gallery:
    """The samples with the largest absolute error, at most `WORST`."""
    error = np.abs(predicted - target)
    order = np.argsort(-np.where(np.isnan(error), np.inf, error), kind="stable")[:WORST]
    items = tuple(
        GalleryItem(
            int(ids[row]),
            (Span(f"{predicted[row]:.4g}", "strong"), Span(" in place of "), Span(f"{target[row]:.4g}", "strong")),
        )
        for row in order
    )
    return Gallery("The largest errors", items)


def charts(target: NDArray[np.float64], predicted: NDArray[np.float64]) -> Charts:
    """Predictions by target, as means of parts of equal size, and the absolute error by share of the samples."""
    parts = [(float(target[rows].mean()), float(predicted[rows].mean())) for rows in _parts(target)]
    ideal = [(x, x) for x, _ in parts]
    shares = np.linspace(0, 1, POINTS)
    error = np.quantile(np.abs(predicted - target), shares)
    return Charts(
        "Errors",
        (
            Chart("mean prediction", "target", (Curve("predicted", parts), Curve("target", ideal))),
            Chart("absolute error", "share of the samples, %", (Curve("error", list(zip(100 * shares, error))),)),  # noqa: B905
        ),
        f"On the left, the samples in {PARTS} parts by target. On the right, the error that a share does not exceed.",
    )


def table_by_target(target: NDArray[np.float64], predicted: NDArray[np.float64]) -> Table:
    """Mean absolute error and mean error of parts of equal size, by target."""
    rows = []
    for part in _parts(target):
        error = predicted[part] - target[part]
        span = f"{target[part].min():.4g} to {target[part].max():.4g}"
        rows.append((span, f"{np.abs(error).mean():.4g}", f"{error.mean():+.4g}", f"{len(part):,}"))
    return Table("Errors by target", ("target", "mean absolute error", "mean error", "samples"), tuple(rows))


def lines(metrics: Mapping[str, Any], split: str) -> list[str]:
    """What `evaluate` prints: the metrics."""
    names = [each.name for each in Regress.metrics]
    width = max(len(f"{split} {name}") for name in names)
    found = [f"{f'{split} {name}':{width}} {_number(metrics[name])}" for name in names]
    found += [f"{name:{width}} {metrics[name]}" for name in ("samples", "excluded") if name in metrics]
    return found + corruption_lines(metrics, Regress.metrics[0])


def _parts(target: NDArray[np.float64]) -> list[NDArray[np.int64]]:
    """The samples in order of their target, in parts of nearly the same size."""
    order = np.argsort(target, kind="stable")
    return [part for part in np.array_split(order, PARTS) if len(part)]


def _number(value: float | None, digits: str = ".6g") -> str:
    return "-" if value is None else f"{value:{digits}}"
