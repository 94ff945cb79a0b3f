"""The figures of the experiments, to be drawn within `resnets.reporting.charts.chart_style`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from resnets.experiments.experiment import Outcome
from resnets.reporting.charts import COLORS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def _figure(columns: int, *, share_y: bool = True) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6 * columns, 3.6), dpi=120, layout="constrained")
    axes = list(figure.subplots(1, columns, sharey=share_y, squeeze=False)[0])
    for each in axes:
        each.spines[["top", "right"]].set_visible(False)
        each.grid(alpha=0.25)
    return figure, axes


def _halves(outcomes: Sequence[Outcome]) -> list[tuple[str, list[Outcome]]]:
    plain = [o for o in outcomes if o.net.is_plain and o.runs]
    residual = [o for o in outcomes if not o.net.is_plain and o.runs]
    return [(title, part) for title, part in (("plain", plain), ("residual", residual)) if part]


def errors_over_time(outcomes: Sequence[Outcome]) -> Figure:
    """Plain nets left, residual ones right: training error dashed, test error solid; mean and range over seeds."""
    halves = _halves(outcomes)
    figure, axes = _figure(len(halves))
    for axis, (title, part) in zip(axes, halves, strict=True):
        for color, outcome in zip(COLORS, part, strict=False):
            for key, style, width in (("train_error", "--", 1.2), ("test_error", "-", 1.8)):
                runs = outcome.values(key)
                if not runs:
                    continue
                epochs, errors = outcome.values("epoch")[0], 100 * np.array(runs)
                label = f"{outcome.net.name}" if style == "-" else None
                axis.plot(epochs, errors.mean(0), style, color=color, linewidth=width, label=label)
                axis.fill_between(epochs, errors.min(0), errors.max(0), color=color, alpha=0.12, linewidth=0)
        axis.set(title=f"{title} nets", xlabel="epoch", ylim=(0, None))
        axis.legend(frameon=False, fontsize=8)
    axes[0].set_ylabel("error, % (dashed: training)")
    return figure


def errors_by_depth(outcomes: Sequence[Outcome]) -> Figure:
    """Final test and training error against the number of layers."""
    figure, (axis,) = _figure(1)
    for color, (title, part) in zip(COLORS, _halves(outcomes), strict=False):
        for key, style in (("final_test_error", "-o"), ("final_train_error", "--s")):
            known = [(o.net.layers, 100 * np.array(o.values(key))) for o in part if o.values(key)]
            if known:
                means, spread = [v.mean() for _, v in known], [v.std() for _, v in known]
                name = "training" if "train" in key else "test"
                axis.errorbar(
                    [d for d, _ in known], means, yerr=spread, fmt=style, color=color, label=f"{title}, {name}", ms=4
                )
    axis.set(xlabel="weighted layers", ylabel="final error, %", ylim=(0, None))
    axis.set_xticks(sorted({o.net.layers for o in outcomes}))
    axis.legend(frameon=False, fontsize=8)
    return figure


def final_errors(outcomes: Sequence[Outcome]) -> Figure:
    """Final test errors, a row per net and a point per seed."""
    figure, (axis,) = _figure(1)
    shown = [o for o in outcomes if o.values("final_test_error")]
    for row, outcome in enumerate(shown):
        values = 100 * np.array(outcome.values("final_test_error"))
        axis.plot(values, [row] * len(values), "o", color=COLORS[0], alpha=0.6)
        axis.plot(values.mean(), row, "|", color=COLORS[1], markersize=16, markeredgewidth=2)
    axis.set_yticks(range(len(shown)), [o.net.name for o in shown])
    axis.invert_yaxis()
    axis.set(xlabel="final test error, % (a dot per seed, a bar for the mean)")
    return figure


def responses(outcomes: Sequence[Outcome]) -> Figure:
    """Standard deviations of layer responses in order (top of figure 7) and sorted (bottom)."""
    figure, axes = _figure(2)
    shown = [o for o in outcomes if o.values("std")]
    for color, outcome in zip(COLORS, shown, strict=False):
        stds = np.mean(outcome.values("std"), 0)
        style = "--" if outcome.net.is_plain else "-"
        axes[0].plot(range(1, len(stds) + 1), stds, style, color=color, label=outcome.net.name, linewidth=1.3)
        axes[1].plot(range(1, len(stds) + 1), np.sort(stds)[::-1], style, color=color, linewidth=1.3)
    axes[0].set(title="in the order of the layers", xlabel="3x3 layer", ylabel="standard deviation of the response")
    axes[1].set(title="sorted", xlabel="rank")
    axes[0].legend(frameon=False, fontsize=8)
    return figure


def gradients(outcomes: Sequence[Outcome]) -> Figure:
    """Relative gradient norms by layer, before training on the left, at the last snapshot on the right."""
    figure, axes = _figure(2)
    for color, outcome in zip(COLORS, [o for o in outcomes if o.values("flow")], strict=False):
        flows: list[dict[str, list[float]]] = outcome.values("flow")
        style = "--" if outcome.net.is_plain else "-"
        last = max((int(step) for step in flows[0]), default=0)
        for axis, step in zip(axes, ("0", str(last)), strict=True):
            known = [flow[step] for flow in flows if step in flow]
            values = np.mean(known, 0)
            axis.plot(range(1, len(values) + 1), values, style, color=color, label=outcome.net.name, linewidth=1.3)
    for axis, title in zip(axes, ("before training", "at the last snapshot"), strict=True):
        axis.set(title=title, xlabel="convolution", yscale="log")
    axes[0].set_ylabel("norm of the gradient / norm of the weight")
    axes[0].legend(frameon=False, fontsize=8)
    return figure


def lesions(outcomes: Sequence[Outcome]) -> Figure:
    """Error with one block taken out (left) and with pairs swapped (right)."""
    figure, axes = _figure(2)
    for color, outcome in zip(COLORS, [o for o in outcomes if o.values("removed")], strict=False):
        removed = 100 * np.mean([list(run.values()) for run in outcome.values("removed")], 0)
        style = "--" if outcome.net.is_plain else "-"
        axes[0].plot(range(1, len(removed) + 1), removed, f"{style}o", color=color, ms=3, label=outcome.net.name)
        axes[0].axhline(100 * np.mean(outcome.values("whole_error")), color=color, linewidth=0.8, linestyle=":")
        swapped = 100 * np.mean(outcome.values("swapped"), 0)
        axes[1].plot(range(1, len(swapped) + 1), swapped, f"{style}o", color=color, ms=3)
    axes[0].set(title="one block taken out (dotted: none)", xlabel="block", ylabel="test error, %", ylim=(0, None))
    axes[1].set(title="blocks swapped", xlabel="pairs", xticks=range(1, 6))
    axes[0].legend(frameon=False, fontsize=8)
    return figure


def autocorrelations(outcomes: Sequence[Outcome]) -> Figure:
    """Autocorrelation of gradients along a line of inputs."""
    figure, (axis,) = _figure(1)
    for color, outcome in zip(COLORS, outcomes, strict=False):
        lags, values = outcome.values("lags")[0], np.mean(outcome.values("correlation"), 0)
        style = "--" if outcome.net.is_plain else "-"
        axis.plot(lags, values, style, color=color, label=outcome.net.name, linewidth=1.4)
    axis.set(xlabel="steps between two inputs (of 255)", ylabel="autocorrelation of the gradient")
    axis.legend(frameon=False, fontsize=8)
    return figure
