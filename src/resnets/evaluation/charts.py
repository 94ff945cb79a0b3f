"""Line charts as SVG text, for pages that must stand alone."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 460, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 12, 30, 34
COLORS = ("#2563eb", "#dc2626", "#059669", "#9333ea")


@dataclass(frozen=True)
class Line:
    """One curve: its name and its (x, y) points. Points that are not finite, which JSON has as None, are left out."""

    name: str
    points: Sequence[tuple[float, float | None]]


def line_chart(title: str, x_label: str, lines: Sequence[Line]) -> str:
    """An `<svg>` element with axes, a legend and the curves."""
    curves = [
        (c.name, [(x, y) for x, y in c.points if y is not None and math.isfinite(x) and math.isfinite(y)])
        for c in lines
    ]
    curves = [(name, points) for name, points in curves if points]
    if not curves:
        return ""
    xs, ys = ([p[i] for _, points in curves for p in points] for i in (0, 1))
    x_ticks, y_ticks = _ticks(min(0.0, *xs), max(xs)), _ticks(min(ys), max(ys))
    x_low, x_high = min(0.0, *xs), max(xs)
    x_ticks = [x for x in x_ticks if x <= x_high]
    y_low, y_high = min(*ys, y_ticks[0]), max(*ys, y_ticks[-1])

    def at_x(x: float) -> float:
        return _LEFT + (x - x_low) / ((x_high - x_low) or 1) * (WIDTH - _LEFT - _RIGHT)

    def at_y(y: float) -> float:
        return HEIGHT - _BOTTOM - (y - y_low) / ((y_high - y_low) or 1) * (HEIGHT - _TOP - _BOTTOM)

    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{html.escape(title)}">',
        f'<text x="{_LEFT}" y="16" class="title">{html.escape(title)}</text>',
    ]
    for y in y_ticks:
        parts.append(f'<line x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{at_y(y):.1f}" y2="{at_y(y):.1f}" class="grid"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{at_y(y) + 4:.1f}" text-anchor="end">{y:g}</text>')
    parts += [f'<text x="{at_x(x):.1f}" y="{HEIGHT - _BOTTOM + 15}" text-anchor="middle">{x:g}</text>' for x in x_ticks]
    parts.append(f'<text x="{WIDTH - _RIGHT}" y="{HEIGHT - 4}" text-anchor="end">{html.escape(x_label)}</text>')
    legend = WIDTH - _RIGHT
    for (name, points), color in reversed(list(zip(curves, COLORS, strict=False))):
        path = " ".join(f"{at_x(x):.1f},{at_y(y):.1f}" for x, y in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="1.8"/>')
        if len(curves) > 1:
            parts.append(f'<text x="{legend}" y="16" text-anchor="end" style="fill:{color}">{html.escape(name)}</text>')
            legend -= 8 * len(name) + 14
    return "".join([*parts, "</svg>"])


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers that span low to high, about five."""
    span = (high - low) or abs(high) or 1.0
    raw = span / 4
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= raw * 0.999)
    first = math.floor(low / step + 1e-9)
    count = math.ceil((high - first * step) / step - 1e-9)
    return [round((first + i) * step, 12) for i in range(max(1, count) + 1)]
