"""What a report and the command line say of `evaluate --corruptions`, for the tasks of images of one size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from resnets.tasks.metric import Metric
from resnets.tasks.sections import Chart, Charts, Curve


def corruption_charts(metrics: Mapping[str, Any], metric: Metric) -> tuple[Charts, ...]:
    """The metric on corrupted images, by severity; empty where none were evaluated.

    Args:
        metrics: with "corruptions", as of `evaluation.robustness`.
        metric: the first of the task.
    """
    if "corruptions" not in metrics:
        return ()
    scale = 100 if metric.percent else 1
    curves = tuple(
        Curve(
            name.replace("_", " "),
            tuple((place, None if v is None else scale * v) for place, v in enumerate(each["severities"], start=1)),
        )
        for name, each in _of_each(metrics).items()
    )
    note = (
        f"The {metric.name} is {metric.show(metrics[metric.name])} on the images as they are, and "
        f"{metric.show(metrics['corruptions']['mean'])} in the mean over these corruptions and severities (Hendrycks "
        "and Dietterich 2019)."
    )
    unit = ", %" if metric.percent else ""
    return (Charts("Robustness", (Chart(f"{metric.name}{unit}", "severity", curves),), note),)


def corruption_lines(metrics: Mapping[str, Any], metric: Metric) -> list[str]:
    """The metric by corruption, a line each; empty where none were evaluated."""
    if "corruptions" not in metrics:
        return []
    width = max(map(len, metrics["corruptions"]))
    found = [f"{'corruption':{width}}      mean  by severity"]
    for name, each in _of_each(metrics).items():
        severities = " ".join(f"{metric.show(value):>7}" for value in each["severities"])
        found.append(f"{name:{width}}   {metric.show(each['mean']):>7}  {severities}")
    return [*found, f"{'mean':{width}}   {metric.show(metrics['corruptions']['mean']):>7}"]


def _of_each(metrics: Mapping[str, Any]) -> dict[str, Any]:
    return {name: each for name, each in metrics["corruptions"].items() if name != "mean"}
