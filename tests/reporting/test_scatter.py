"""Scatter plots: every point is there, marked ones have a ring, and colours and shapes tell clouds apart."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from resnets.reporting.scatter import scatter_plot, swatches
from resnets.tasks.sections import Cloud, Scatter


def scatter_of(*clouds: Cloud) -> Scatter:
    return Scatter("Map", clouds, "wrong")


def drawn(scatter: Scatter) -> dict[str, int]:
    """The number of points of each cloud, by their colour and by the ends of their lines, which make the shape."""
    found: dict[str, int] = {}
    for path in ElementTree.fromstring(scatter_plot(scatter)).iter("path"):
        style = path.attrib.get("style", "")
        if "stroke-linecap" in style and path.attrib["d"].count("M") == path.attrib["d"].count("L"):
            color = re.search(r"stroke: ([^;]+)", style)
            cap = re.search(r"stroke-linecap: (\w+)", style)
            assert color is not None
            assert cap is not None
            found[f"{color[1]} {cap[1]}"] = path.attrib["d"].count("M")
    return found


def test_every_point_is_a_line_of_no_length() -> None:
    clouds = (Cloud("a", [(float(n), 1.0) for n in range(300)], [(2.0, 3.0)]), Cloud("b", [], [(0.0, 0.0), (1.0, 5.0)]))
    first, second = swatches(scatter_of(*clouds))
    assert drawn(scatter_of(*clouds)) == {f"{first.color} round": 301, f"{second.color} round": 2}
    rings = re.findall(r"<use [^>]*>", scatter_plot(scatter_of(*clouds)))
    assert len(rings) == 3
    assert "<use" not in scatter_plot(scatter_of(Cloud("a", [(0.0, 1.0)])))


def test_twelve_clouds_are_told_apart_and_what_is_left_is_faint() -> None:
    clouds = [Cloud(str(n), [(n, n)]) for n in range(12)]
    scatter = scatter_of(*clouds, Cloud("others", [(0.0, 1.0)], faint=True))
    found = swatches(scatter)
    assert len({(each.color, each.square) for each in found}) == 13
    assert [each.square for each in found] == [False] * 6 + [True] * 6 + [False]
    expected = {f"{each.color} {'square' if each.square else 'round'}": 1 for each in found}
    assert drawn(scatter) == expected
    assert scatter_plot(scatter) == scatter_plot(scatter)


def test_a_plot_without_points_and_names_of_any_kind_are_drawn() -> None:
    assert ElementTree.fromstring(scatter_plot(scatter_of(Cloud("a", [])))).tag == "svg"
    name = '<script>"& $x$'
    svg = ElementTree.fromstring(scatter_plot(scatter_of(Cloud(name, [(1.0, 1.0)]))))
    assert name in svg.attrib["aria-label"]


def test_two_thousand_points_are_small() -> None:
    points = [(n / 7, n % 13 / 3) for n in range(2000)]
    assert len(scatter_plot(scatter_of(Cloud("a", points)))) < 80_000
