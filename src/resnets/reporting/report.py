"""`report.html`, one self-contained page on how a model does and where it errs, and `predictions.csv`."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

from PIL import Image

from resnets.artifacts.model_file import ModelCard
from resnets.core.errors import DataError
from resnets.core.files import write_bytes, write_csv
from resnets.evaluation.scoring import Scores
from resnets.modalities.base import Dataset
from resnets.modalities.image.base import ImageDataset
from resnets.reporting.charts import line_chart
from resnets.reporting.pages import inline_svg, render
from resnets.reporting.sections import facts, loss_chart, unreadable
from resnets.tasks.classification import report as classification_report
from resnets.tasks.sections import Charts, Section

THUMBNAIL = 96  # pixels; larger images are reduced to twice that, for dense displays


def write_report(
    path: Path,
    *,
    title: str,
    scores: Scores,
    dataset: Dataset,
    card: ModelCard,
    history: Sequence[dict[str, Any]] = (),
) -> None:
    """Writes the page to `path`, or leaves `path` as it was and raises `FileError`.

    Args:
        dataset: the images that were scored; its class names may be fewer than the model's.
        history: the events of the training run, for the curves.
    """
    sections: list[Section] = [
        classification_report.headline(title, scores.metrics, scores.split),
        facts(card, history),
        *_curves(history),
        *classification_report.sections(scores.records, scores.metrics, scores.ids, card.classes),
        *([unreadable(scores.excluded)] if scores.excluded else []),
    ]
    page = render(
        "report.html",
        title=title,
        sections=sections,
        svg=lambda chart: inline_svg(line_chart(chart)),
        thumbnail=partial(_thumbnail, dataset, card),
        name=dataset.name,
    )
    write_bytes(path, page)


def write_predictions(path: Path, scores: Scores, dataset: Dataset, classes: tuple[str, ...]) -> None:
    """Writes a CSV with a row for each image that was scored, in the order of `dataset`; see `write_csv`.

    The name of the image is in the first column, and for one version again in the last, whose name is the old one.

    Args:
        classes: of the model, in its order.
    """
    columns = (scores.records[name] for name in ("label", "predicted", "confidence", "loss"))
    names = [dataset.name(int(number)) for number in scores.ids]
    rows = [
        (name, classes[label], classes[predicted], confidence, loss, name)
        for name, label, predicted, confidence, loss in zip(names, *columns, strict=True)
    ]
    old_name = "picture"  # the old name of `image`
    write_csv(path, [("image", "label", "predicted", "confidence", "loss", old_name), *rows])


def _curves(history: Sequence[dict[str, Any]]) -> tuple[Charts, ...]:
    steps = [e for e in history if e["event"] == "step"]
    evaluations = [e for e in history if e["event"] == "evaluation"]
    if not steps or not evaluations:
        return ()
    split = evaluations[-1].get("split", "test")
    charts = (loss_chart(steps, evaluations, split), classification_report.error_chart(evaluations, split))
    note = "The training loss is that of augmented images, with label smoothing where the recipe has it."
    return (Charts("Curves", charts, note),)


@dataclass(frozen=True)
class _Thumbnail:
    """A `data:` URL, "" where the image cannot be read; `enlarged` where the page shows it larger than it is."""

    url: str
    enlarged: bool = False


def _thumbnail(dataset: Dataset, card: ModelCard, sample: int) -> _Thumbnail:
    try:
        image = cast(ImageDataset, dataset).image(sample, card.preprocessing.color, card.preprocessing.background)
    except DataError:
        return _Thumbnail("")
    small = max(image.size) <= THUMBNAIL
    if not small:
        image.thumbnail((2 * THUMBNAIL, 2 * THUMBNAIL), Image.Resampling.BILINEAR)
    file, kind = io.BytesIO(), "PNG" if small else "JPEG"
    image.save(file, kind, quality=85)
    return _Thumbnail(f"data:image/{kind.lower()};base64,{base64.b64encode(file.getvalue()).decode()}", small)
