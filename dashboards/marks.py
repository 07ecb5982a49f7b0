"""What fills a drawn panel that is no chart: figures, bars, states, rows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

import numpy as np

from dashboards.formatting import written
from dashboards.interpolation import TimeRange
from dashboards.model import Panel, Threshold
from dashboards.querying import Series

PALETTE = ("green", "blue", "orange", "purple", "red", "yellow")
_MOST_ROWS = 40


@dataclass(frozen=True, slots=True)
class Box:
    """A place within a panel, in pixels."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Drawn:
    """A panel with the answers to its queries, over the time range; `units` is each metric's unit."""

    panel: Panel
    answers: list[list[Series]]
    span: TimeRange
    units: Mapping[str, str]

    def unit(self, series: Series) -> str:
        """The unit of a series' values."""
        if self.panel.unit == "metric":
            return self.units.get(series.labels.get("metric", ""), "")
        return self.panel.unit

    def named(self) -> list[tuple[str, Series]]:
        """All series with their names in the legend."""
        return [
            (series.named(query.legend) or "value", series)
            for query, found in zip(self.panel.queries, self.answers, strict=True)
            for series in found
        ]


def text(x: float, y: float, words: str, style: str = "", *, anchor: str = "start", more: str = "") -> str:
    """A text element; `more` is further attributes."""
    attributes = f' class="{style}"' if style else ""
    attributes += f' text-anchor="{anchor}"' if anchor != "start" else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{attributes}{" " + more if more else ""}>{escape(words)}</text>'


def rectangle(x: float, y: float, width: float, height: float, color: str, more: str = "") -> str:
    """A filled rectangle."""
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="{max(height, 0):.1f}" '
        f'fill="{paint(color)}"{" " + more if more else ""}/>'
    )


def paint(color: str) -> str:
    """One of Grafana's colour names as the drawing's own."""
    return f"var(--{color.removeprefix('super-light-')})"


def shortened(words: str, width: float, size: float = 6.6) -> str:
    """As much of the end of `words` as fits: names of devices differ at their end."""
    most = max(int(width / size), 3)
    return words if len(words) <= most else "…" + words[1 - most :]


def color_at(thresholds: tuple[Threshold, ...], value: float) -> str:
    """The colour of a value; blue where there are no thresholds."""
    color = "blue"
    for step in thresholds:
        if step.above is None or value >= step.above:
            color = step.color
    return color


def drawn_cells(drawn: Drawn, box: Box) -> str:
    """Large figures: one, or a grid of them with their names."""
    named = drawn.named()
    columns = min(len(named), max(1, round(math.sqrt(len(named) * box.width / box.height / 2.2))))
    lines = math.ceil(len(named) / columns)
    width, height = box.width / columns, box.height / lines
    return "".join(
        _cell(drawn, name, series, Box(box.x + i % columns * width, box.y + i // columns * height, width, height))
        for i, (name, series) in enumerate(named)
    )


def _cell(drawn: Drawn, name: str, series: Series, box: Box) -> str:
    value = float(series.values[-1])
    middle = box.x + box.width / 2
    several = any("{{" in query.legend for query in drawn.panel.queries)
    for state in drawn.panel.texts:
        if state.value == value:
            return (
                rectangle(
                    box.x + 2, box.y + 2, box.width - 4, box.height - 4, state.color, 'rx="3" fill-opacity="0.85"'
                )
                + text(middle, box.y + box.height / 2 - 3, shortened(name, box.width - 8), "inside", anchor="middle")
                + text(
                    middle, box.y + box.height / 2 + 14, state.text, "inside", anchor="middle", more='font-weight="600"'
                )
            )
    figure = written(value, drawn.unit(series), drawn.panel.decimals)
    size = min(38.0, box.height * 0.5, box.width / max(len(figure), 1) * 1.7)
    color = f'style="fill:{paint(color_at(drawn.panel.thresholds, value))}" font-size="{size:.0f}" font-weight="600"'
    label = (
        text(middle, box.y + box.height * 0.25, shortened(name, box.width), "faint", anchor="middle") if several else ""
    )
    return label + text(
        middle, box.y + box.height / 2 + size * (0.5 if several else 0.3), figure, anchor="middle", more=color
    )


def drawn_bars(drawn: Drawn, box: Box) -> str:
    """One horizontal bar a series, with its name and value."""
    named = drawn.named()
    most = max(float(series.values[-1]) for _, series in named) or 1.0
    height = min(30.0, box.height / len(named))
    label = _label_width(named, box)
    parts = []
    for i, (name, series) in enumerate(named):
        value = float(series.values[-1])
        y = box.y + i * height
        room = box.width - label - 70
        parts.append(text(box.x + label - 8, y + height / 2 + 4, shortened(name, label), anchor="end"))
        parts.append(
            rectangle(
                box.x + label, y + 3, room * value / most, height - 6, color_at(drawn.panel.thresholds, value), 'rx="2"'
            )
        )
        figure = written(value, drawn.unit(series), drawn.panel.decimals)
        parts.append(text(box.x + label + room * value / most + 6, y + height / 2 + 4, figure))
    return "".join(parts)


def drawn_states(drawn: Drawn, box: Box) -> str:
    """One line a series, coloured by its state over time; series that never leave the first state come last."""
    named = sorted(drawn.named(), key=lambda one: (-float(np.max(one[1].values)), one[0]))
    shown = named[: min(_MOST_ROWS, max(int(box.height / 14), 1))]
    height = min(26.0, (box.height - 16) / len(shown))
    label = _label_width(named, box)
    colors = {state.value: state.color for state in drawn.panel.texts}
    scale = (box.width - label) / (drawn.span.end - drawn.span.start)
    parts = []
    for i, (name, series) in enumerate(shown):
        y = box.y + i * height
        parts.append(text(box.x + label - 8, y + height / 2 + 4, shortened(name, label), anchor="end"))
        starts = np.flatnonzero(np.diff(series.values, prepend=np.nan))
        for start, stop in zip(starts, [*starts[1:], len(series.values)], strict=True):
            begin = float(series.times[start])
            end = float(series.times[stop]) if stop < len(series.times) else drawn.span.end
            color = colors.get(int(series.values[start]), "blue")
            x = box.x + label + (begin - drawn.span.start) * scale
            parts.append(rectangle(x, y + 2, (end - begin) * scale, height - 4, color, 'fill-opacity="0.85"'))
    left = len(named) - len(shown)
    legend = "   ".join(state.text for state in drawn.panel.texts) + (f"   ({left} more series)" if left else "")
    for place, state in enumerate(drawn.panel.texts):
        x = box.x + label + place * 90
        parts.append(rectangle(x, box.y + box.height - 8, 10, 10, state.color))
        parts.append(text(x + 14, box.y + box.height + 1, state.text, "faint"))
    if left:
        parts.append(
            text(box.x + box.width, box.y + box.height + 1, legend.rsplit("   ", 1)[-1], "faint", anchor="end")
        )
    return "".join(parts)


def _label_width(named: list[tuple[str, Series]], box: Box) -> float:
    return min(12 + 6.8 * max(len(name) for name, _ in named), 280.0, box.width * 0.4)


def drawn_rows(drawn: Drawn, box: Box) -> str:
    """A table: a row for each set of labels, a column for each label and each query."""
    panel = drawn.panel
    hidden = {"__name__", "job", "instance"}
    rows: dict[tuple[tuple[str, str], ...], list[float]] = {}
    for place, found in enumerate(drawn.answers):
        for series in found:
            key = tuple(sorted((n, v) for n, v in series.labels.items() if n not in hidden))
            rows.setdefault(key, [math.nan] * len(panel.queries))[place] = float(series.values[-1])
    by = panel.columns.index(panel.sort_by) if panel.sort_by else 0
    ordered = sorted(rows.items(), key=lambda row: (-np.nan_to_num(row[1][by], nan=-math.inf), row[0]))
    labels = sorted({name for key in rows for name, _ in key})
    shown = ordered[: int(box.height / 22) - 1]
    width = box.width / (len(labels) + len(panel.columns) + 0.5 * len(labels))
    parts = [f'<path class="grid" d="M{box.x},{box.y + 22:.1f}h{box.width:.1f}"/>']
    for line, cells in enumerate([None, *shown]):
        y = box.y + 15 + line * 22
        x = box.x
        for name in labels:
            words = name if cells is None else dict(cells[0]).get(name, "")
            parts.append(text(x, y, shortened(words, width * 1.5 - 8), "faint" if cells is None else ""))
            x += width * 1.5
        for place, column in enumerate(panel.columns):
            unit = panel.units[place] if panel.units else ""
            decimals = panel.places[place] if place < len(panel.places) else None
            words = column if cells is None else written(cells[1][place], unit, decimals, now=drawn.span.end)
            parts.append(text(x + width - 12, y, words, "faint" if cells is None else "", anchor="end"))
            x += width
    if len(shown) < len(ordered):
        words = f"{len(ordered) - len(shown)} more rows"
        parts.append(text(box.x + box.width, box.y - 10, words, "faint", anchor="end"))
    return "".join(parts)
