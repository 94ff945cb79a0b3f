"""Charts: SVG that any curve fits into, that stands inline in a page and takes the page's colour and font."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import matplotlib
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnets.reporting.charts import COLORS, INK, chart_style, line_chart, to_svg
from resnets.tasks.sections import Chart, Curve

Point = tuple[float, float]


def chart(*curves: list[Point], title: str = "loss") -> Chart:
    return Chart(title, "epoch", tuple(Curve(f"curve {i}", points) for i, points in enumerate(curves)))


def draw(*curves: list[Point], title: str = "loss") -> Element:
    return ElementTree.fromstring(line_chart(chart(*curves, title=title)))


def paths(svg: Element, color: str) -> list[list[Point]]:
    """The points of the lines of `color`, but for those of the legend, which come last and are level."""
    found = []
    for path in svg.iter("path"):
        if f"stroke: {color};" in path.attrib.get("style", "") + ";" and "opacity" not in path.attrib["style"]:
            numbers = [float(number) for number in re.findall(r"-?[\d.]+", path.attrib["d"])]
            found.append(list(zip(numbers[::2], numbers[1::2], strict=True)))
    return found


def curve(svg: Element, number: int = 0) -> list[Point]:
    return paths(svg, COLORS[number])[0]


def texts(svg: Element) -> list[str]:
    return [text.text or "" for text in svg.iter("text")]


def ticks(svg: Element) -> list[float]:
    """The labels at the left of the horizontal lines, from low to high."""
    found = [t for t in svg.iter("text") if "text-anchor: end" in t.attrib["style"] and t.text != "epoch"]
    found.sort(key=lambda t: -float(t.attrib["y"]))
    return [float((t.text or "").replace("\N{MINUS SIGN}", "-")) for t in found]


def assert_fits(svg: Element) -> None:
    left, top, width, height = map(float, svg.attrib["viewBox"].split())
    assert (left, top) == (0, 0)
    for color in COLORS[:3]:
        for x, y in (point for line in paths(svg, color) for point in line):
            assert 0 <= x <= width
            assert 0 <= y <= height
    for text in svg.iter("text"):
        assert 0 <= float(text.attrib["x"]) <= width
        assert 0 <= float(text.attrib["y"]) <= height


@pytest.mark.parametrize(
    "points",
    [
        [(1.0, 0.5)],
        [(0.0, 0.0)],
        [(1.0, 2.3), (2.0, 2.3), (3.0, 2.3)],
        [(1.0, 0.0), (2.0, 0.0)],
        [(1.0, -1e-7), (2.0, 1e-7)],
        [(0.001, 3e38), (0.002, 1e-38)],
        [(5.0, 1e6), (6.0, 1e6 + 1e-6)],
        [(0.0, 1.0), (1e-9, 2.0)],
    ],
    ids=["one point", "the origin", "constant", "zero", "tiny", "huge", "nearly constant", "the first step"],
)
def test_any_curve_fits_its_chart(points: list[Point]) -> None:
    svg = draw(points)
    assert len(curve(svg)) == max(2, len(points))  # a single point is a line of no length with round ends
    assert_fits(svg)
    assert 2 <= len(ticks(svg)) <= 12 or len(points) == 1


EPOCH = st.integers(0, 10**6).map(lambda step: step / 391)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.tuples(EPOCH, st.floats(width=32)), min_size=1, max_size=6), min_size=1, max_size=3))
def test_whatever_a_run_may_log_makes_a_chart_or_none(curves: list[list[Point]]) -> None:
    text = line_chart(chart(*curves))
    if any(math.isfinite(y) for points in curves for _, y in points):
        assert_fits(ElementTree.fromstring(text))
    else:
        assert text == ""


def test_points_that_are_not_finite_are_left_out() -> None:
    gaps = [(1.0, 3.0), (2.0, math.nan), (3.0, math.inf), (math.nan, 1.0), (5.0, 1.0)]
    assert curve(draw(gaps)) == curve(draw([(1.0, 3.0), (5.0, 1.0)]))
    without = Chart("loss", "epoch", (Curve("c", [(1.0, 3.0), (2.0, None), (5.0, 1.0)]),))  # as JSON has them
    assert line_chart(without) == line_chart(Chart("loss", "epoch", (Curve("c", gaps),)))
    assert line_chart(chart([(1.0, math.nan)], [])) == ""
    assert line_chart(chart()) == ""


def test_points_lie_where_their_values_say() -> None:
    svg = draw([(0.0, 0.0), (5.0, 1.0), (10.0, 4.0)])
    (left, low), (middle, quarter), (right, high) = curve(svg)
    assert middle - left == pytest.approx(right - middle, abs=0.02)
    assert low - quarter == pytest.approx((low - high) / 4, abs=0.02)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 1.0, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0.13, 2.29, [0.5, 1, 1.5, 2]),
        (40.0, 92.0, [40, 50, 60, 70, 80, 90]),
        (-3.0, 5.0, [-2, 0, 2, 4]),
    ],
)
def test_labels_are_round_numbers_within_the_curve(low: float, high: float, expected: list[float]) -> None:
    assert ticks(draw([(1.0, low), (2.0, high)])) == expected


def test_names_are_shown_as_text_and_only_where_there_are_several_curves() -> None:
    title = '<script>"& $x$ $\\frac'
    svg = draw([(1.0, 1.0)], [(1.0, 2.0)], title=title)
    assert title in texts(svg)
    assert svg.attrib["aria-label"] == title
    assert {"curve 0", "curve 1"} <= set(texts(svg))
    assert "curve 0" not in texts(draw([(1.0, 1.0)]))


def test_a_curve_beside_one_without_points_keeps_its_colour_and_its_name() -> None:
    svg = draw([(1.0, math.nan)], [(1.0, 1.0), (2.0, 3.0)])
    assert not paths(svg, COLORS[0])
    assert len(curve(svg, 1)) == 2
    assert "curve 1" in texts(svg)
    assert "curve 0" not in texts(svg)


def test_a_chart_takes_the_colour_and_font_of_the_page() -> None:
    text = line_chart(chart([(1.0, 1.0), (2.0, 3.0)], [(1.0, 2.0)]))
    assert INK not in text
    assert "DejaVu" not in text
    svg = ElementTree.fromstring(text)
    assert all("fill: currentColor" in each.attrib["style"] for each in svg.iter("text"))
    for path in svg.iter("path"):
        style = path.attrib["style"]
        assert re.search("fill: none", style), style  # no white background
        assert "stroke: currentColor" in style or "stroke" not in style or any(f"stroke: {c}" in style for c in COLORS)


def test_a_chart_stands_inline_without_ids_or_anything_from_outside() -> None:
    text = line_chart(chart([(1.0, 1.0), (2.0, 3.0)], [(1.0, 2.0)]))
    tags = {element.tag for element in ElementTree.fromstring(text).iter()}
    assert tags <= {"svg", "g", "path", "text"}
    assert not re.search(r"https?:|xmlns|\bid=|url\(|<\?xml|<!DOCTYPE", text)


def test_references_within_a_figure_are_kept_and_equal_input_gives_equal_bytes() -> None:
    from matplotlib.figure import Figure

    def markers() -> str:
        with chart_style():
            figure = Figure()
            figure.subplots().plot([1, 2, 3], "o")
            return to_svg(figure, "markers")

    text = markers()
    referenced = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', text))
    assert referenced
    assert sorted(re.findall(r'\bid="([^"]+)"', text)) == sorted(referenced)
    assert markers() == text
    assert line_chart(chart([(1.0, 2.0)])) == line_chart(chart([(1.0, 2.0)]))


def test_settings_of_the_user_change_no_chart_and_stay_as_they_were() -> None:
    expected = line_chart(chart([(1.0, 1.0), (2.0, 3.0)]))
    with matplotlib.rc_context({"axes.facecolor": "red", "text.usetex": True, "svg.fonttype": "path"}):
        assert line_chart(chart([(1.0, 1.0), (2.0, 3.0)])) == expected
        assert matplotlib.rcParams["axes.facecolor"] == "red"


def test_a_long_run_has_a_small_chart() -> None:
    points = [(step / 100, 2 / (1 + step / 1000) + 0.01 * (step % 7)) for step in range(50_000)]
    assert len(line_chart(chart(points))) < 250_000


def test_charts_and_pages_import_matplotlib_and_jinja_when_they_are_made() -> None:
    code = (
        "import sys, resnets.cli, resnets.training.runner, resnets.experiments.reproduce\n"
        "import resnets.reporting.report\n"
        "assert not {'matplotlib', 'jinja2'} & sys.modules.keys()\n"
        "from resnets.reporting.charts import line_chart\n"
        "from resnets.tasks.sections import Chart, Curve\n"
        "line_chart(Chart('loss', 'epoch', (Curve('a', [(1, 2)]),)))\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
