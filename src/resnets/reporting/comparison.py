"""The page of models that are compared on the same samples."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from resnets.core.files import write_bytes, write_json
from resnets.reporting.pages import render
from resnets.reporting.sections import not_to_be_trusted
from resnets.tasks.catalog import find
from resnets.tasks.metric import Metric
from resnets.tasks.sections import Headline, Items, Span, Table


def sentences(answer: Mapping[str, Any], metric: Metric) -> list[str]:
    """What the differences say, a sentence for each."""
    found = []
    for each in answer["differences"]:
        first, second, (low, high) = each["first"], each["second"], each["interval"]
        if low is None:
            found.append(f"{second} and {first} cannot be compared by {metric.name}.")
            continue
        sure = low > 0 or high < 0
        better = (each["difference"] > 0) == (metric.direction == "max")
        said = f"is {'better' if better else 'worse'} than" if sure else "is neither surely better nor worse than"
        found.append(
            f"{second} {said} {first}: {metric.name} {_signed(each['difference'], metric)} "
            f"(95% interval {_signed(low, metric)} to {_signed(high, metric)})."
        )
    return found


def _signed(value: float, metric: Metric) -> str:
    return f"{100 * value:+.2f} points" if metric.percent else f"{value:+.4g}"


def _tables(answer: Mapping[str, Any], metric: Metric) -> tuple[Table, ...]:
    """The models, and their differences from the first."""
    show, models = metric.show, answer["models"]
    others = [
        each
        for each in find(answer["task"]).metrics
        if each.name != metric.name and all(each.name in model for model in models)
    ]
    columns = ("model", metric.name, "95% interval", *(each.name for each in others))
    rows = tuple(
        (
            each["model"],
            show(each[metric.name]),
            f"{show(each['interval'][0])} to {show(each['interval'][1])}",
            *(other.show(each[other.name]) for other in others),
        )
        for each in models
    )
    of_models = Table(f"Models on {answer['split']}", columns, rows)
    tested = [each["mcnemar"] for each in answer["differences"] if "mcnemar" in each]
    if not tested:
        return (of_models,)
    alone = tuple(
        (each["second"], f"{test['second_alone']:,}", f"{test['first_alone']:,}", f"{test['p']:.3g}")
        for each, test in zip(answer["differences"], tested, strict=True)
    )
    note = (
        "How many samples one model alone has right, and the probability of such a division or a more uneven one where "
        "both are equally good (McNemar's exact test)."
    )
    columns = ("model", "right where the first is wrong", "wrong where the first is right", "p")
    return of_models, Table("Against the first", columns, alone, note)


def write_comparison(folder: Path, answer: Mapping[str, Any], metric: Metric) -> None:
    """Writes compare.html, and comparison.json with what `--json` prints.

    Raises:
        FileError: one cannot be written.
    """
    grouped = "" if answer["groups"] is None else f" in {answer['groups']:,} groups"
    title, leak = f"{answer['split']} of {answer['data']}", answer["leak"]
    of = Span(f"{len(answer['models'])} models on {answer['samples']:,} samples{grouped}, by {answer['metric']}")
    sections = [
        Headline(title, (of,)),
        *([not_to_be_trusted(leak)] if leak else []),
        Items("Differences", tuple(sentences(answer, metric))),
        *_tables(answer, metric),
    ]
    write_bytes(folder / "compare.html", render("report.html", title=title, sections=sections))
    write_json(folder / "comparison.json", answer)
