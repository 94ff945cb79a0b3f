"""The confusion matrix of many classes as an image in inline SVG, which stands on a light or a dark page."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from resnets.core.console import printable
from resnets.reporting.charts import INK, chart_style, to_svg
from resnets.reporting.names import shortened
from resnets.tasks.sections import HeatMap

NAMED = 60  # classes; with more, there is no room for their names
MOST_CELLS = 500  # a side; more classes share cells, of which each shows the most frequent confusion
SIDE, TEXT = 8.5, 8.0  # inches of the image, 612 units of the SVG, and units of the names
RIGHT, WRONG = (16, 185, 129), (239, 68, 68)  # seen on white and on black
WEAKEST = 0.45  # opacity of what is least


def heat_map(section: HeatMap) -> str:
    """Returns an `<svg>` element: true classes from top to bottom, predicted ones from left to right."""
    classes, colors = len(section.names), _colors(section.counts)
    with chart_style(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # matplotlib's font may lack letters that the page's has
        from matplotlib.figure import Figure
        from matplotlib.patches import Rectangle

        figure = Figure(figsize=(SIDE, SIDE), layout="constrained")
        axes = figure.subplots()
        image = axes.imshow(colors, interpolation="none", extent=(0, classes, classes, 0))
        image.set_clip_on(False)
        for number, (start, size) in enumerate(section.frames, start=1):
            axes.add_patch(Rectangle((start, start), size, size, fill=False, edgecolor=INK, linewidth=1, clip_on=False))
            at_end = start + size > 0.95 * classes
            axes.annotate(
                str(number), (start if at_end else start + size, start), (-3 if at_end else 3, 0),
                textcoords="offset points", ha="right" if at_end else "left", va="top", fontsize=11,
            )  # fmt: skip
        axes.spines[:].set_alpha(0.4)
        axes.set_xlabel("predicted")
        axes.set_ylabel("true")
        axes.xaxis.set_label_position("top")
        axes.tick_params(length=0, labelsize=TEXT, top=True, bottom=False, labeltop=True, labelbottom=False)
        if classes <= NAMED:
            places, names = np.arange(classes) + 0.5, [shortened(printable(name)) for name in section.names]
        else:
            places, names = np.empty(0), []
        axes.set_xticks(places, names, rotation=90, parse_math=False)
        axes.set_yticks(places, names, parse_math=False)
        return to_svg(
            figure, f"{section.title} of {classes:,} classes as an image; what stands out is listed below", 1.0
        )


def _colors(counts: NDArray[np.int64]) -> NDArray[np.uint8]:
    """(cells, cells, 4): green or red, the more opaque the more samples; of no samples nothing."""
    right = np.diag(counts) / np.maximum(counts.sum(1), 1)
    wrong = counts - np.diag(np.diag(counts))
    shared = -(-len(counts) // MOST_CELLS)  # classes that share a cell
    share = _pooled(np.sqrt(wrong / max(1, wrong.max())), shared)
    np.fill_diagonal(share, np.diag(_pooled(np.diag(right), shared)))
    opacity = np.where(share > 0, WEAKEST + (1 - WEAKEST) * share, 0)
    colors = np.where(np.eye(len(share), dtype=bool)[..., None], RIGHT, WRONG)
    return np.concatenate([colors, 255 * opacity[..., None]], 2).round().astype(np.uint8)


def _pooled(values: NDArray[np.float64], shared: int) -> NDArray[np.float64]:
    """The largest of each `shared` x `shared` values."""
    cells = -(-len(values) // shared)
    padded = np.pad(values, (0, cells * shared - len(values)))
    return np.asarray(padded.reshape(cells, shared, cells, shared).max((1, 3)))
