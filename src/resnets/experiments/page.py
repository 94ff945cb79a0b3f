"""The folder that an experiment leaves: results.json, README.md, figure.png and index.html, made from results alone."""

from __future__ import annotations

import io
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resnets.core.files import write_bytes, write_json
from resnets.experiments.experiment import Column, Experiment, Outcome
from resnets.models import counts
from resnets.reporting.charts import chart_style, to_svg
from resnets.reporting.pages import inline_svg, render


@dataclass(frozen=True)
class Facts:
    """How results came about.

    Args:
        command: that makes them again.
        hours: of training, over all nets and seeds and all starts.
        split: of the data, on which the nets were evaluated.
    """

    command: str
    date: str
    hardware: str
    versions: str
    data: str
    length: str
    hours: float
    split: str = "test"


def write_page(folder: Path, experiment: Experiment, outcomes: Sequence[Outcome], facts: Facts) -> None:
    """Writes the folder's files, each whole or not at all."""
    svg = ""
    if experiment.draw is not None and any(outcome.runs for outcome in outcomes):
        buffer = io.BytesIO()
        with chart_style():
            figure = experiment.draw(outcomes)
            figure.savefig(buffer, format="png", facecolor="white", metadata={"Software": None})
            svg = to_svg(figure, experiment.title)
        write_bytes(folder / "figure.png", buffer.getvalue())
    write_json(folder / "results.json", _results(experiment, outcomes, facts))
    heading, *rows = table(experiment, outcomes)
    sentences = experiment.read(outcomes)
    about = _about(facts)
    lines = [
        f"# {experiment.title}", "", experiment.question, "",
        *([f"![{experiment.title}](figure.png)", ""] if svg else []),
        _row(heading), _row(["---"] + ["---:"] * (len(heading) - 1)), *map(_row, rows), "",
        *(f"- {sentence}" for sentence in sentences), *([""] if sentences else []),
        f"Command: `{facts.command}`", *about, "",
        "Made by the command, never by hand; every figure by seed and epoch is in `results.json`.", "",
    ]  # fmt: skip
    write_bytes(folder / "README.md", "\n".join(lines).encode(errors="backslashreplace"))
    page = render(
        "experiment.html",
        title=experiment.title,
        question=experiment.question,
        svg=inline_svg(svg),
        heading=heading,
        rows=rows,
        sentences=sentences,
        command=facts.command,
        about=about,
    )
    write_bytes(folder / "index.html", page)


def table(experiment: Experiment, outcomes: Sequence[Outcome]) -> list[list[str]]:
    """The heading and a row a net: the paper's figures, then ours, as mean ± standard deviation over seeds."""
    known = [c for c in experiment.columns if any(c.key in o.net.paper for o in outcomes)]
    heading = ["net", "parameters", *(f"{c.heading}, paper" for c in known)]
    heading += [f"{c.heading}, ours" for c in experiment.columns]
    rows = [[*heading, "seeds"]]
    for outcome in outcomes:
        cells = [outcome.net.name, f"{counts.parameters(outcome.net.spec):,}"]
        cells += [outcome.net.paper.get(c.key, "") for c in known]
        cells += [mean_and_deviation(outcome, c) for c in experiment.columns]
        failed = sum("failed" in run for run in outcome.runs)
        rows.append([*cells, f"{len(outcome.runs)}" + (f", {failed} failed" if failed else "")])
    return rows


def mean_and_deviation(outcome: Outcome, column: Column) -> str:
    """ "8.75 ± 0.21", "8.75" for one seed, "not measured" for none."""
    values = [float(v) * (100 if column.percent else 1) for v in outcome.values(column.key)]
    if not values:
        return "not measured"
    text = f"{statistics.mean(values):.2f}" if column.percent else f"{statistics.mean(values):.3g}"
    if len(values) == 1:
        return text
    deviation = statistics.stdev(values)
    return f"{text} ± {deviation:.2f}" if column.percent else f"{text} ± {deviation:.2g}"


def _about(facts: Facts) -> list[str]:
    other = "" if facts.split == "test" else f" The test errors are those of its split {facts.split}."
    return [
        f"Data: {facts.data}.{other} Length: {facts.length}. Figures are those of the last epoch, never the best; ± is "
        "the standard deviation over seeds. Parameters are those of the named spec, before it is fitted to the data.",
        f"{facts.hours:.2f} hours on {facts.hardware}, {facts.versions}, {facts.date}.",
    ]


def _results(experiment: Experiment, outcomes: Sequence[Outcome], facts: Facts) -> dict[str, Any]:
    nets = [
        {
            "net": outcome.net.name,
            "paper": dict(outcome.net.paper),
            "runs": [{"seed": seed, **run} for seed, run in zip(outcome.seeds, outcome.runs, strict=True)],
        }
        for outcome in outcomes
    ]
    return {"experiment": experiment.name, **vars(facts), "nets": nets}


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
