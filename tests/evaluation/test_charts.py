"""Line charts: SVG that any curve fits into."""

from __future__ import annotations

import math
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnets.evaluation.charts import HEIGHT, WIDTH, Line, line_chart

Point = tuple[float, float]


def draw(*curves: list[Point], title: str = "loss") -> Element:
    lines = [Line(f"curve {i}", points) for i, points in enumerate(curves)]
    return ElementTree.fromstring(line_chart(title, "epoch", lines))


def polylines(svg: Element) -> list[list[Point]]:
    texts = [line.attrib["points"].split() for line in svg.iter("polyline")]
    return [[(float(x), float(y)) for x, y in (p.split(",") for p in points)] for points in texts]


def ticks(svg: Element) -> list[float]:
    """The labels beside the horizontal lines, from low to high."""
    *labels, _ = [text.text or "" for text in svg.iter("text") if text.attrib.get("text-anchor") == "end"]
    return [float(label) for label in labels]


def assert_fits(svg: Element) -> None:
    for x, y in (point for line in polylines(svg) for point in line):
        assert 0 <= x <= WIDTH
        assert 0 <= y <= HEIGHT
    heights = [float(line.attrib["y1"]) for line in svg.iter("line")]
    assert heights == sorted(heights, reverse=True)
    assert len(heights) <= 12


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
    ],
    ids=["one point", "the origin", "constant", "zero", "tiny", "huge", "nearly constant"],
)
def test_any_curve_fits_its_chart(points: list[Point]) -> None:
    svg = draw(points)
    assert len(polylines(svg)[0]) == len(points)
    assert_fits(svg)


EPOCH = st.integers(0, 10**6).map(lambda step: step / 391)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(st.tuples(EPOCH, st.floats(width=32)), min_size=1, max_size=6), min_size=1, max_size=3))
def test_whatever_a_run_may_log_makes_a_chart_or_none(curves: list[list[Point]]) -> None:
    text = line_chart("loss", "epoch", [Line("c", points) for points in curves])
    if any(math.isfinite(y) for points in curves for _, y in points):
        assert_fits(ElementTree.fromstring(text))
    else:
        assert text == ""


def test_points_that_are_not_finite_are_left_out() -> None:
    gaps = [(1.0, 3.0), (2.0, math.nan), (3.0, math.inf), (math.nan, 1.0), (5.0, 1.0)]
    assert polylines(draw(gaps)) == polylines(draw([(1.0, 3.0), (5.0, 1.0)]))
    without = [(1.0, 3.0), (2.0, None), (5.0, 1.0)]  # as JSON has them
    assert line_chart("loss", "epoch", [Line("c", without)]) == line_chart("loss", "epoch", [Line("c", gaps)])
    assert line_chart("loss", "epoch", [Line("c", [(1.0, math.nan)]), Line("d", [])]) == ""
    assert line_chart("loss", "epoch", []) == ""


def test_points_lie_where_their_values_say() -> None:
    svg = draw([(0.0, 0.0), (5.0, 1.0), (10.0, 4.0)])
    (left, low), (middle, quarter), (right, high) = polylines(svg)[0]
    assert middle - left == pytest.approx(right - middle, abs=0.11)
    assert low - quarter == pytest.approx((low - high) / 4, abs=0.11)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 1.0, [0, 0.25, 0.5, 0.75, 1]),
        (0.13, 2.29, [0, 1, 2, 3]),
        (40.0, 92.0, [40, 60, 80, 100]),
        (-3.0, 5.0, [-4, -2, 0, 2, 4, 6]),
    ],
)
def test_labels_are_round_numbers_that_span_the_curve(low: float, high: float, expected: list[float]) -> None:
    assert ticks(draw([(1.0, low), (2.0, high)])) == expected


def test_names_are_shown_as_text_and_only_where_there_are_several_curves() -> None:
    title = '<script>"&'
    svg = draw([(1.0, 1.0)], [(1.0, 2.0)], title=title)
    texts = [text.text for text in svg.iter("text")]
    assert texts[0] == title == svg.attrib["aria-label"]
    assert {"curve 0", "curve 1"} <= set(texts)
    assert "curve 0" not in [text.text for text in draw([(1.0, 1.0)]).iter("text")]
