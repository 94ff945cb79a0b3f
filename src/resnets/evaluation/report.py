"""`report.html`: one self-contained page on how a model does and where it errs."""

from __future__ import annotations

import base64
import html
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from resnets.core.errors import DataError
from resnets.core.files import write_bytes, write_csv
from resnets.core.units import show_count
from resnets.evaluation.charts import Line, line_chart
from resnets.evaluation.scoring import Scores
from resnets.modalities.base import Dataset
from resnets.modalities.image.preprocessing import Preprocessing
from resnets.models import counts
from resnets.models.spec import Spec
from resnets.tasks.classification.task import confusion

WORST_ERRORS = 24
MATRIX_CLASSES = 30  # above this the page lists the most frequent confusions instead
THUMBNAIL = 96

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8882; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { margin-bottom: 0; } h2 { margin-top: 2.2rem; font-size: 1.15rem; }
.headline { font-size: 1.3rem; margin: .3rem 0 1rem; } .soft { opacity: .7; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
td, th { padding: .2rem .6rem; text-align: right; }
th { font-weight: 600; } td:first-child, th:first-child { text-align: left; }
tr { border-bottom: 1px solid var(--line); }
.facts td { text-align: left; }
.matrix td { text-align: center; min-width: 1.6rem; padding: .2rem .3rem; }
.scroll { overflow-x: auto; } .charts { display: flex; flex-wrap: wrap; gap: 1rem; } .charts svg { flex: 1 1 26rem; }
svg text { font-size: 11px; fill: currentColor; } svg .title { font-weight: 600; font-size: 12px; }
svg .grid { stroke: #8884; }
.errors { display: grid; grid-template-columns: repeat(auto-fill, minmax(9rem, 1fr)); gap: 1rem; }
figure { margin: 0; } figure img { width: 6rem; height: 6rem; object-fit: contain; image-rendering: pixelated;
background: var(--soft); } figcaption { font-size: .8rem; overflow-wrap: anywhere; }
"""


class Card(Protocol):
    """What a page says of the model: a `ModelCard`."""

    @property
    def spec(self) -> Spec: ...
    @property
    def classes(self) -> tuple[str, ...]: ...
    @property
    def preprocessing(self) -> Preprocessing: ...
    @property
    def recipe(self) -> dict[str, Any]: ...
    @property
    def environment(self) -> dict[str, Any]: ...


def write_report(
    path: Path,
    *,
    title: str,
    scores: Scores,
    dataset: Dataset,
    card: Card,
    history: Sequence[dict[str, Any]] = (),
) -> None:
    """Writes the page to `path`.

    Args:
        dataset: the images that `scores` speaks of; its class names may be fewer than the model's.
        history: the events of the training run, for the curves.
    """
    sections = [
        _headline(title, scores),
        _facts(card, history),
        _curves(history),
        _worst(scores, dataset, card),
        _confusions(scores, card),
        _classes(scores),
        _excluded(scores),
    ]
    page = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body>'
        f"{''.join(sections)}</body></html>\n"
    )
    write_bytes(path, page.encode(errors="backslashreplace"))  # file names need not be UTF-8


def write_predictions(path: Path, scores: Scores, dataset: Dataset, classes: tuple[str, ...]) -> None:
    """Writes a CSV with a row for each image that was scored, in the order of `dataset`; see `write_csv`.

    Args:
        classes: the model's, in its order.
    """
    columns = (scores.records[name] for name in ("label", "predicted", "confidence", "loss"))
    rows = [
        (dataset.name(int(number)), classes[label], classes[predicted], confidence, loss)
        for number, label, predicted, confidence, loss in zip(scores.ids, *columns, strict=True)
    ]
    write_csv(path, [("image", "label", "predicted", "confidence", "loss"), *rows])


def wilson_interval(hits: int, samples: int) -> tuple[float, float]:
    """The 95% confidence interval of a share (Wilson 1927)."""
    z, n = 1.959964, max(samples, 1)
    share = hits / n
    center = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, center - half), min(1.0, center + half)


def _headline(title: str, scores: Scores) -> str:
    samples, accuracy = scores.metrics["samples"], scores.metrics["accuracy"]
    low, high = wilson_interval(round(accuracy * samples), samples)
    top5 = "" if len(scores.metrics["classes"]) <= 5 else f", top-5 {scores.metrics['top5']:.2%}"
    return (
        f'<h1>{html.escape(title)}</h1><p class="headline"><b>{accuracy:.2%}</b> of {samples:,} '
        f"{scores.split} images right"
        f'{top5} <span class="soft">(95% interval {low:.1%} to {high:.1%})</span></p>'
    )


def _facts(card: Card, history: Sequence[dict[str, Any]]) -> str:
    spec, p = card.spec, card.preprocessing
    rows = [
        (
            "Network",
            f"{spec.block} blocks, {'-'.join(map(str, spec.depths))}, shortcut {spec.shortcut}, "
            f"stride in {spec.stride_in}, {spec.activation}",
        ),
        ("Parameters", f"{counts.parameters(spec):,}"),
        ("Multiply-adds", f"{counts.multiply_adds(spec, p.crop):,} at {p.crop} x {p.crop}"),
        ("Input", f"{p.color}, shorter side {p.resize}, centre {p.crop}, {p.interpolation}"),
    ]
    recipe, environment = card.recipe, card.environment
    if recipe:
        rows.append(("Recipe", f"{recipe.get('name')}, data {recipe.get('data')}, seed {recipe.get('seed')}"))
    if environment:
        rows.append(("Trained on", f"{environment.get('hardware')}, {environment.get('precision')}"))
    rows += [
        ("Length", f"{event['epochs']:.1f} epochs, {show_count(event['steps'], 'step')}")
        for event in history
        if event["event"] == "start"
    ]
    rows += [
        ("Made longer", f"by {event['epochs']:.4g} epochs, from step {event['step']:,}")
        for event in history
        if event["event"] == "extension"
    ]
    cells = "".join(f"<tr><td>{html.escape(k)}</td><td>{html.escape(v)}</td></tr>" for k, v in rows)
    return f'<table class="facts">{cells}</table>'


def _curves(history: Sequence[dict[str, Any]]) -> str:
    steps = [e for e in history if e["event"] == "step"]
    tests = [e for e in history if e["event"] == "evaluation"]
    if not steps or not tests:
        return ""
    split = tests[-1].get("split", "test")
    charts = [
        line_chart(
            "loss",
            "epoch",
            [
                Line("training", [(e["epoch"], e["loss"]) for e in steps]),
                Line(split, [(e["epoch"], e["loss"]) for e in tests]),
            ],
        ),
        line_chart(
            f"{split} error, %", "epoch", [Line(split, [(e["epoch"], 100 * (1 - e["accuracy"])) for e in tests])]
        ),
    ]
    note = "The training loss is that of augmented images, with label smoothing where the recipe has it."
    return f'<h2>Curves</h2><p class="soft">{note}</p><div class="charts">{"".join(charts)}</div>'


def _worst(scores: Scores, dataset: Dataset, card: Card) -> str:
    records = scores.records
    wrong = np.flatnonzero(records["label"] != records["predicted"])
    if not len(wrong):
        return "<h2>Errors</h2><p>None.</p>"
    worst = wrong[np.argsort(-records["loss"][wrong], kind="stable")][:WORST_ERRORS]
    figures = []
    for row in worst:
        index = int(scores.ids[row])
        true, predicted = (card.classes[int(records[k][row])] for k in ("label", "predicted"))
        figures.append(
            f'<figure><img alt="" src="{_thumbnail(dataset, index, card)}"><figcaption><b>{html.escape(true)}</b> '
            f"taken for <b>{html.escape(predicted)}</b> ({float(records['confidence'][row]):.0%})<br>"
            f'<span class="soft">{html.escape(dataset.name(index))}</span></figcaption></figure>'
        )
    title = "The error" if len(wrong) == 1 else f"{len(wrong):,} errors, the worst first"
    return f'<h2>{title}</h2><div class="errors">{"".join(figures)}</div>'


def _thumbnail(dataset: Dataset, index: int, card: Card) -> str:
    try:
        image = dataset.image(index, card.preprocessing.color, card.preprocessing.background)
    except DataError:
        return ""
    if max(image.size) > THUMBNAIL:
        image.thumbnail((2 * THUMBNAIL, 2 * THUMBNAIL), Image.Resampling.BILINEAR)
    file = io.BytesIO()
    kind = "PNG" if max(image.size) <= THUMBNAIL else "JPEG"
    image.save(file, kind, quality=85)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(file.getvalue()).decode()}"


def _confusions(scores: Scores, card: Card) -> str:
    table = confusion(scores.records, len(card.classes))
    if len(card.classes) > MATRIX_CLASSES:
        return _frequent_confusions(table, card)
    most = max(1, int((table - np.diag(np.diag(table))).max()))
    header = "".join(f"<th>{html.escape(name)}</th>" for name in card.classes)
    rows = []
    for i, name in enumerate(card.classes):
        cells = []
        for j in range(len(card.classes)):
            count = int(table[i, j])
            strength = 25 if i == j else round(75 * count / most)
            color = "5, 150, 105" if i == j else "220, 38, 38"
            style = f' style="background: rgba({color}, {strength / 100})"' if count else ""
            cells.append(f"<td{style}>{count or ''}</td>")
        rows.append(f"<tr><th>{html.escape(name)}</th>{''.join(cells)}</tr>")
    return (
        '<h2>Confusion matrix</h2><p class="soft">Rows are true classes, columns predicted ones.</p>'
        f'<div class="scroll"><table class="matrix"><tr><th></th>{header}</tr>{"".join(rows)}</table></div>'
    )


def _frequent_confusions(table: np.ndarray[Any, Any], card: Card) -> str:
    errors = table - np.diag(np.diag(table))
    order = np.argsort(-errors, axis=None, kind="stable")[:MATRIX_CLASSES]
    rows = [
        f"<tr><td>{html.escape(card.classes[i])}</td><td>{html.escape(card.classes[j])}</td>"
        f"<td>{errors[i, j]}</td></tr>"
        for i, j in zip(*np.unravel_index(order, errors.shape), strict=True)
        if errors[i, j]
    ]
    return (
        "<h2>Most frequent confusions</h2><table><tr><th>true</th><th>taken for</th><th>times</th></tr>"
        f"{''.join(rows)}</table>"
    )


def _classes(scores: Scores) -> str:
    rows = [
        f"<tr><td>{html.escape(name)}</td><td>{c['precision']:.1%}</td><td>{c['recall']:.1%}</td>"
        f"<td>{c['f1']:.1%}</td><td>{c['support']:,}</td></tr>"
        for name, c in scores.metrics["classes"].items()
    ]
    return (
        "<h2>Classes</h2><table><tr><th>class</th><th>precision</th><th>recall</th><th>F1</th><th>images</th></tr>"
        f"{''.join(rows)}</table>"
    )


def _excluded(scores: Scores) -> str:
    if not scores.excluded:
        return ""
    items = "".join(f"<li>{html.escape(reason)}</li>" for reason in list(scores.excluded.values())[:50])
    images = show_count(len(scores.excluded), "image")
    return f"<h2>{images} could not be read, and no figure counts them</h2><ul>{items}</ul>"
