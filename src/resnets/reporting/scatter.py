"""Scatter plots as inline SVG, in the style of `charts`, and the colours of their legend, which is HTML: it wraps.

Colours repeat with another shape. A point takes some 25 bytes: those of a cloud are one path, of lines of no length
whose ends make the shape.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from resnets.reporting.charts import COLORS, INK, chart_style, to_svg
from resnets.tasks.sections import Cloud, Scatter

SIZE = (7.0, 4.4)  # inches
POINT, RING = 4.0, 7.0  # points: the size of a sample, and of the ring around one that is marked
_CAPS = ("round", "projecting")  # of a dot and of a square
_FAINT, _RING = 0.3, 0.6  # opacity
_FEW = 150  # marked points, above which their rings fade
_FRONT = 3  # the layer of the clouds that have names, above the rings


@dataclass(frozen=True)
class Swatch:
    """How a cloud is drawn.

    Args:
        color: as a stylesheet has it.
    """

    color: str
    square: bool
    faint: bool


def swatches(scatter: Scatter) -> list[Swatch]:
    """How each cloud is drawn: by its place among the clouds that are not faint."""
    colors, found, number = COLORS[: COLORS.index(INK)], [], 0
    for cloud in scatter.clouds:
        if cloud.faint:
            found.append(Swatch("currentColor", False, True))
            continue
        found.append(Swatch(colors[number % len(colors)], number // len(colors) % 2 == 1, False))
        number += 1
    return found


def scatter_plot(scatter: Scatter) -> str:
    """Returns an `<svg>` element of all points, the marked ones with a ring."""
    with chart_style():
        from matplotlib.figure import Figure

        figure = Figure(figsize=SIZE)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        for cloud, swatch in zip(scatter.clouds, swatches(scatter), strict=True):
            if cloud.points or cloud.marked:
                axes.add_patch(_dots(cloud, swatch))
        marked = [point for cloud in scatter.clouds for point in cloud.marked]
        if marked:
            opacity = _RING * min(1.0, math.sqrt(_FEW / len(marked)))
            axes.plot(
                *zip(*marked, strict=True), "o", color=INK, fillstyle="none", markersize=RING, markeredgewidth=0.9,
                alpha=opacity, zorder=_FRONT - 1, clip_on=False,
            )  # fmt: skip
        axes.update_datalim([point for cloud in scatter.clouds for point in (*cloud.points, *cloud.marked)])
        axes.autoscale_view()
        return to_svg(figure, _label(scatter))


def _dots(cloud: Cloud, swatch: Swatch) -> Any:
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    places = [each for each in (*cloud.points, *cloud.marked) for _ in range(2)]
    path = Path(places, [Path.MOVETO, Path.LINETO] * (len(places) // 2))
    path.should_simplify = False  # which would leave out lines of no length
    return PathPatch(
        path,
        facecolor="none",
        edgecolor=INK if swatch.faint else swatch.color,
        linewidth=POINT,
        capstyle=_CAPS[swatch.square],
        alpha=_FAINT if swatch.faint else None,
        zorder=_FRONT - 2 if swatch.faint else _FRONT,
        clip_on=False,
    )


def _label(scatter: Scatter) -> str:
    return f"{scatter.title}: {', '.join(cloud.name for cloud in scatter.clouds)}"
