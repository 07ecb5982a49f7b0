"""A drawn panel's lines, bars, points and bands over time, with axes and a legend."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from dashboards.formatting import plain, ticks, written
from dashboards.marks import PALETTE, Box, Drawn, paint, shortened, text
from dashboards.model import Look, SeriesLook
from dashboards.querying import Series

_LEFT, _RIGHT, _BELOW = 62.0, 56.0, 40.0
_MOST_NAMES = 10


@dataclass(frozen=True, slots=True)
class _Line:
    name: str
    series: Series
    color: str
    look: Look
    style: SeriesLook
    query: int
    base: NDArray[np.float64] | None = None

    @property
    def tops(self) -> NDArray[np.float64]:
        return self.series.values if self.base is None else self.base + self.series.values


@dataclass(frozen=True, slots=True)
class _Axis:
    low: float
    high: float
    box: Box
    log: bool

    def y(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        low, high = (np.log10(self.low), np.log10(self.high)) if self.log else (self.low, self.high)
        given = np.log10(np.maximum(values, self.low)) if self.log else values
        place: NDArray[np.float64] = self.box.y + self.box.height * (1 - (given - low) / ((high - low) or 1.0))
        return place

    def marks(self) -> list[float]:
        if self.log:
            return [10.0**e for e in range(int(np.floor(np.log10(self.low))), int(np.ceil(np.log10(self.high))) + 1)]
        return ticks(self.low, self.high)


def drawn_lines(drawn: Drawn, box: Box) -> str:
    """All series of a panel on one or two axes."""
    lines = _lines(drawn)
    right = any(line.style.axis_right for line in lines)
    area = Box(box.x + _LEFT, box.y, box.width - _LEFT - (_RIGHT if right else 8), box.height - _BELOW)
    log = drawn.panel.logarithmic
    axes = {
        side: _axis(drawn, [one for one in lines if one.style.axis_right is side], area, log=log)
        for side in (False, True)
    }
    parts = [_frame(drawn, axes[False], area)]
    if right:
        unit = next(line.style.unit for line in lines if line.style.axis_right)
        parts += [
            text(area.x + area.width + 6, float(axes[True].y(np.array([mark]))[0]) + 4, written(mark, unit), "faint")
            for mark in axes[True].marks()
        ]
    parts += [_band(drawn, lines, line, axes[False], area) for line in lines if line.style.fill_to is not None]
    parts += [_mark(drawn, line, axes[line.style.axis_right], area) for line in lines]
    parts.append(_legend(lines, box))
    return "".join(parts)


def _lines(drawn: Drawn) -> list[_Line]:
    lines: list[_Line] = []
    palette = 0
    stacks: dict[float, float] = {}
    for number, (query, found) in enumerate(zip(drawn.panel.queries, drawn.answers, strict=True)):
        style = next((look for look in drawn.panel.looks if look.query == number), SeriesLook(number))
        for series in found:
            own = style.color or drawn.panel.colors.get(series.named(query.legend), "")
            color = own or PALETTE[palette % len(PALETTE)]
            palette += not own
            base = None
            if drawn.panel.stacked:
                base = np.array([stacks.get(time, 0.0) for time in series.times.tolist()])
                stacks.update(zip(series.times.tolist(), (base + series.values).tolist(), strict=True))
            look = style.look or ("line" if drawn.panel.look == "band" else drawn.panel.look)
            lines.append(_Line(series.named(query.legend), series, color, look, style, number, base))
    return lines


def _axis(drawn: Drawn, lines: list[_Line], area: Box, *, log: bool) -> _Axis:
    values = np.concatenate([line.tops for line in lines] or [np.zeros(1)])
    values = values[np.isfinite(values)]
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    if log:
        return _Axis(
            10.0 ** np.floor(np.log10(max(low, 1e-6))), 10.0 ** np.ceil(np.log10(max(high, 1e-5))), area, log=True
        )
    if drawn.panel.minimum is not None:
        low = min(drawn.panel.minimum, low)
    margin = (high - low) * 0.06 or max(abs(high), 1.0) * 0.1
    return _Axis(low if drawn.panel.minimum is not None else low - margin, high + margin, area, log=False)


def _frame(drawn: Drawn, axis: _Axis, area: Box) -> str:
    parts = []
    unit = next((drawn.unit(series) for found in drawn.answers for series in found), drawn.panel.unit)
    for mark in axis.marks():
        y = float(axis.y(np.array([mark]))[0])
        parts.append(f'<path class="grid" d="M{area.x:.1f},{y:.1f}h{area.width:.1f}"/>')
        parts.append(text(area.x - 6, y + 4, written(mark, unit) if unit else plain(mark), "faint", anchor="end"))
    step = next(size for size in (60, 300, 600, 1800, 3600, 86400) if (drawn.span.end - drawn.span.start) / size <= 8)
    for time in range(-(-drawn.span.start // step) * step, drawn.span.end + 1, step):
        x = _x(drawn, np.array([float(time)]), area)[0]
        parts.append(
            text(x, area.y + area.height + 15, f"{datetime.fromtimestamp(time, UTC):%H:%M}", "faint", anchor="middle")
        )
    for threshold in drawn.panel.thresholds:
        if threshold.above is not None and axis.low <= threshold.above <= axis.high:
            y = float(axis.y(np.array([threshold.above]))[0])
            parts.append(
                f'<path d="M{area.x:.1f},{y:.1f}h{area.width:.1f}" stroke="{paint(threshold.color)}" '
                f'stroke-dasharray="6 4"/>'
            )
    return "".join(parts)


def _x(drawn: Drawn, times: NDArray[np.float64], area: Box) -> NDArray[np.float64]:
    place: NDArray[np.float64] = area.x + area.width * (times - drawn.span.start) / (drawn.span.end - drawn.span.start)
    return place


def _mark(drawn: Drawn, line: _Line, axis: _Axis, area: Box) -> str:
    x, y = _x(drawn, line.series.times, area), axis.y(line.tops)
    color = paint(line.color)
    if line.look == "points":
        dots = "".join(f'<circle cx="{a:.1f}" cy="{b:.1f}" r="4"/>' for a, b in zip(x, y, strict=True))
        return f'<g fill="{color}">{dots}</g>'
    if line.look == "bars":
        bottom = axis.y(np.maximum(np.zeros(len(x)) if line.base is None else line.base, axis.low))
        width = max(area.width * drawn.span.step / (drawn.span.end - drawn.span.start) * 0.8, 1.0)
        bars = "".join(
            f'<rect x="{a - width / 2:.1f}" y="{b:.1f}" width="{width:.1f}" height="{c - b:.1f}"/>'
            for a, b, c in zip(x, y, bottom, strict=True)
            if c - b > 0.05
        )
        return f'<g fill="{color}" fill-opacity="0.8">{bars}</g>'
    dash = ' stroke-dasharray="6 4"' if line.style.dashed else ""
    faded = ' stroke-opacity="0.5"' if line.color.startswith("super-light-") else ""
    return f'<path d="{_path(drawn, line, x, y)}" fill="none" stroke="{color}" stroke-width="1.5"{dash}{faded}/>'


def _path(drawn: Drawn, line: _Line, x: NDArray[np.float64], y: NDArray[np.float64]) -> str:
    """A line through the points, broken where a stretch of time has none."""
    gap = np.diff(line.series.times, prepend=-np.inf) > 1.5 * drawn.span.step
    return "".join(
        f"{'M' if new else 'L'}{a:.1f},{b:.1f}" for a, b, new in zip(x.tolist(), y.tolist(), gap.tolist(), strict=True)
    )


def _band(drawn: Drawn, lines: list[_Line], upper: _Line, axis: _Axis, area: Box) -> str:
    lower = next((one for one in lines if one.query == upper.style.fill_to), None)
    if lower is None:
        return ""
    there = zip(_x(drawn, upper.series.times, area), axis.y(upper.tops), strict=True)
    back = zip(_x(drawn, lower.series.times, area)[::-1], axis.y(lower.tops)[::-1], strict=True)
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in [*there, *back])
    return f'<polygon points="{points}" fill="{paint(upper.color)}" fill-opacity="0.18"/>'


def _legend(lines: list[_Line], box: Box) -> str:
    parts: list[str] = []
    x, y = box.x, box.y + box.height
    shown = lines[:_MOST_NAMES]
    room = box.width / max(len(shown), 1)
    for line in shown:
        words = shortened(line.name, room - 24)
        parts.append(f'<rect x="{x:.1f}" y="{y - 9:.1f}" width="12" height="4" fill="{paint(line.color)}"/>')
        parts.append(text(x + 17, y - 4, words, "faint"))
        x += min(room, 24 + 7 * len(words))
    if len(shown) < len(lines):
        parts.append(text(box.x + box.width, y + 8, f"{len(lines) - len(shown)} more series", "faint", anchor="end"))
    return "".join(parts)
