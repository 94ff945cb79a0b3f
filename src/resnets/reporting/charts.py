"""Charts as inline SVG, drawn by matplotlib, that take the text colour and the font of the page around them.

matplotlib is imported on the first call, and only its object interface is used: pyplot would keep state between calls.
Equal input gives equal bytes.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import logging
import math
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from resnets.tasks.sections import Chart, Curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#010203"  # in a drawing, the colour of the page's text: black on a PNG, `currentColor` in SVG
# Distinguishable without colour vision (Okabe and Ito 2008); black became INK, and blue lighter, to be seen on black.
COLORS = ("#1b7fc0", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", INK)
SIZE = (5.0, 3.0)  # inches: 360 x 216 units of the SVG, in which text is about 10 units high
_CHARACTER = 6.4  # units: the width of a digit at that height
_GAP = 8.0  # units: between an axis and the labels of its ticks, and the edge
_LINE = 13.0  # units: the height of a line

_STYLE = {
    "axes.edgecolor": INK,
    "axes.facecolor": "none",
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.titley": 1.0,  # not above whatever the axes have on top, for which all of it would be measured
    "figure.facecolor": "none",
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib, so that the layout is the same everywhere
    "legend.labelcolor": INK,
    "svg.fonttype": "none",  # text stays text: smaller, selectable, in the font of the page
    "svg.hashsalt": "resnets",
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}


@contextlib.contextmanager
def chart_style() -> Iterator[None]:
    """Context manager in which figures get this module's style, whatever the user's own settings are.

    matplotlib's warnings about its cache of fonts, where it can write none, are not shown: its own font is used.
    """
    logger = logging.getLogger("matplotlib")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        import matplotlib.style

        with matplotlib.style.context(["default", _STYLE]):
            yield
    finally:
        logger.setLevel(level)


def load() -> None:
    """Imports matplotlib and reads its fonts, for which the first chart would wait."""
    line_chart(Chart("", "", (Curve("", ((0.0, 0.0),)),)))


def line_chart(chart: Chart) -> str:
    """Returns an `<svg>` element with axes, curves and a legend; "" where no point is finite.

    The colour of a curve depends on its place among the chart's curves alone.
    """
    curves = [
        (c.name, color, [(x, y) for x, y in c.points if y is not None and math.isfinite(x) and math.isfinite(y)])
        for c, color in zip(chart.curves, itertools.cycle(COLORS), strict=False)
    ]
    curves = [(name, color, points) for name, color, points in curves if points]
    if not curves:
        return ""
    with chart_style():
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator

        figure = Figure(figsize=SIZE)
        axes = figure.subplots()
        for name, color, points in curves:
            # A single point is drawn as a line of no length with round ends: a dot.
            xs, ys = zip(*(points * 2 if len(points) == 1 else points), strict=True)
            width = 5.0 if len(points) == 1 else 1.6
            axes.plot(xs, ys, color=color, linewidth=width, label=name, solid_capstyle="round", clip_on=False)
        all_x = [x for _, _, points in curves for x, _ in points]
        low, high = min(0.0, *all_x), max(all_x)
        axes.set_xlim(low, high if high > low else low + 1)
        axes.margins(y=0.04)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.spines["bottom"].set_alpha(0.4)
        axes.grid(axis="y", color=INK, alpha=0.18, linewidth=0.7, clip_on=False)
        axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
        axes.tick_params(length=0)
        labels, power = _tick_labels(axes)
        above = _LINE if power else 0.0  # the power of ten stands below the title
        axes.set_title(chart.title, loc="left", fontsize=10.5, fontweight="bold", parse_math=False, pad=6.0 + above)
        axes.set_xlabel(chart.x_label, loc="right", parse_math=False)
        width, height = (72 * side for side in SIZE)
        left = _GAP + _CHARACTER * max(map(len, labels))
        figure.subplots_adjust(left=left / width, right=0.97, bottom=0.16, top=0.88 - above / height)
        if len(chart.curves) > 1:
            legend = axes.legend(
                loc="lower right", bbox_to_anchor=(1, 1), ncols=len(curves), frameon=False, handlelength=1.2,
                borderaxespad=0.2, columnspacing=1.2,
            )  # fmt: skip
            for text in legend.get_texts():
                text.set_parse_math(False)
        return to_svg(figure, chart.title)


def _tick_labels(axes: Axes) -> tuple[list[str], str]:
    """The labels of the y axis, and the power of ten by which they are shortened. Their lengths tell how much room they
    need: matplotlib's own layouts measure all text, which takes as long as the rest of a drawing."""
    formatter = axes.yaxis.get_major_formatter()
    return formatter.format_ticks(axes.yaxis.get_majorticklocs().tolist()), formatter.get_offset()


def to_svg(figure: Figure, label: str, smallest: float = 0.8) -> str:
    """Returns `figure` as an `<svg>` element to stand inline in HTML. Call it within `chart_style`.

    What was drawn in `INK` has the colour of the text around it. The element is as wide as there is room for, within
    limits at which its text can be read. It has no namespaces, metadata or style sheet, which HTML does not need. Its
    ids are hashes of what they name.

    Args:
        label: the text for those who do not see it.
        smallest: the fewest pixels of a unit of the figure, at which its text is 8 pixels high.
    """
    file = io.BytesIO()
    figure.savefig(file, format="svg", metadata={"Date": None})
    root = ElementTree.fromstring(file.getvalue())
    referenced = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', file.getvalue().decode()))
    _strip(root, referenced)
    width = float(root.attrib["viewBox"].split()[2])
    size = f"min-width: {smallest * width:.0f}px; max-width: {1.5 * width:.0f}px"  # text of 15 px or less
    root.attrib = {"viewBox": root.attrib["viewBox"], "style": size, "role": "img", "aria-label": label}
    return ElementTree.tostring(root, "unicode").replace(INK, "currentColor")


def _strip(element: ElementTree.Element, referenced: set[str]) -> None:
    """Leaves only what a browser draws: about a third of the bytes."""
    for child in list(element):
        _strip(child, referenced)
        if _local(child.tag) in ("metadata", "style") or (_local(child.tag) in ("g", "defs") and not len(child)):
            element.remove(child)
    element.tag = _local(element.tag)
    element.text, element.tail = (text if text and text.strip() else None for text in (element.text, element.tail))
    attributes = {_local(name): value for name, value in element.attrib.items()}
    if attributes.get("id") not in referenced:
        attributes.pop("id", None)
    if attributes.get("transform", "").startswith("rotate(-0 "):
        del attributes["transform"]
    if "style" in attributes:
        # The font is the page's; matplotlib before 3.11 writes it in shorthand, which has to name one.
        style = re.sub(r"font-family: [^;]*(; |$)", "", attributes["style"])
        attributes["style"] = re.sub(r"(font: [^;]*?px) [^;]*", r"\1 sans-serif", style)
    for name in attributes.keys() & {"d", "x", "y"}:
        attributes[name] = re.sub(r"-?\d+\.\d+", lambda number: f"{float(number[0]):.2f}", attributes[name])
    element.attrib = attributes


def _local(name: str) -> str:
    """A name of XML without its namespace."""
    return name.rpartition("}")[2]
