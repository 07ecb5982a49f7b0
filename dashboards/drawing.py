"""Dashboards as pictures, from the same descriptions and the same queries, without a Grafana.

One SVG a dashboard, light or dark as its reader's screen is. A row that Grafana repeats for each value of a variable is
drawn for each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from html import escape

from dashboards.charts import drawn_lines
from dashboards.interpolation import Choice, TimeRange
from dashboards.marks import Box, Drawn, drawn_bars, drawn_cells, drawn_rows, drawn_states, text
from dashboards.model import COLUMNS, Board, Panel, Section
from dashboards.querying import PrometheusSource, Series

WIDTH = 1440
_UNIT = 34
_GAP = 8
_HEAD = 54
_ROW = 30
_DRAWERS = {
    "timeseries": drawn_lines,
    "stat": drawn_cells,
    "bargauge": drawn_bars,
    "state": drawn_states,
    "table": drawn_rows,
}

_STYLE = """
svg { font: 12px Inter, "Helvetica Neue", Arial, sans-serif; --page: #f4f5f5; --panel: #fff; --line: #dcdfe3;
  --text: #24292e; --faint: #6b7280; --green: #1a8743; --orange: #d9730d; --red: #d32f3f; --yellow: #c9a400;
  --blue: #2f6fd0; --purple: #8f3bb8; }
@media (prefers-color-scheme: dark) { svg { --page: #111217; --panel: #181b1f; --line: #2c3036; --text: #d8d9da;
  --faint: #9097a1; --green: #4fb266; --orange: #ff9830; --red: #f2495c; --yellow: #fade2a; --blue: #5794f2;
  --purple: #b877d9; } }
text { fill: var(--text); } .faint { fill: var(--faint); } .title { font-weight: 600; font-size: 13px; }
.row { font-size: 14px; font-weight: 600; } .head { font-size: 20px; font-weight: 600; }
.grid { stroke: var(--line); } .panel { fill: var(--panel); stroke: var(--line); } .inside { fill: #fff; }
"""


@dataclass(frozen=True, slots=True)
class Drawing:
    """What a dashboard is drawn from: the database, what is chosen, the time range, and the metrics' units."""

    source: PrometheusSource
    choice: Choice
    span: TimeRange
    units: Mapping[str, str]


def drawn(board: Board, drawing: Drawing) -> str:
    """The dashboard as SVG. Raises QueryError where a query fails, OSError where the database is away."""
    parts: list[str] = []
    top = _HEAD
    for section in board.sections:
        for title, choice in _repeats(section, drawing):
            parts.append(text(_GAP * 2, top + 20, title, "row"))
            height, panels = _section(section, replace(drawing, choice=choice))
            parts += [f'<g transform="translate(0,{top + _ROW})">', *panels, "</g>"]
            top += _ROW + height
    chosen = ", ".join(
        f"{name}: {' + '.join(values)}"
        for name, values in drawing.choice.values.items()
        if name in {v.name for v in board.variables} - {"siblings"}
    )
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top + _GAP}" width="{WIDTH}" '
            f'height="{top + _GAP}" role="img" aria-label="{escape(board.title)}">',
            f"<style>{_STYLE}</style>",
            f'<rect width="{WIDTH}" height="{top + _GAP}" fill="var(--page)"/>',
            text(_GAP * 2, 34, board.title, "head"),
            text(WIDTH - _GAP * 2, 34, chosen, "faint", anchor="end"),
            *parts,
            "</svg>\n",
        ]
    )


def _repeats(section: Section, drawing: Drawing) -> list[tuple[str, Choice]]:
    """The section once, or for each value of its variable that the first panel's queries give."""
    if not section.repeat:
        return [(section.title, drawing.choice)]
    found: set[str] = set()
    for query in section.panels[0].queries:
        for series in drawing.source.ask(query, drawing.choice, drawing.span):
            found.add(series.labels.get(section.repeat, ""))
    return [
        (
            section.title.replace(f"${section.repeat}", value),
            Choice({**drawing.choice.values, section.repeat: (value,)}, drawing.choice.single),
        )
        for value in sorted(found - {""})
    ]


def _section(section: Section, drawing: Drawing) -> tuple[int, list[str]]:
    parts: list[str] = []
    top = left = tallest = 0
    for panel in section.panels:
        if left + panel.width > COLUMNS:
            top, left, tallest = top + tallest, 0, 0
        parts.append(_panel(panel, drawing, left, top))
        left += panel.width
        tallest = max(tallest, panel.height)
    return (top + tallest) * _UNIT + _GAP, parts


def _panel(panel: Panel, drawing: Drawing, left: int, top: int) -> str:
    column = (WIDTH - 2 * _GAP) / COLUMNS
    x, y = _GAP + left * column + _GAP / 2, top * _UNIT + _GAP / 2
    width, height = panel.width * column - _GAP, panel.height * _UNIT - _GAP
    answers = [
        drawing.source.ask(query, drawing.choice, drawing.span) if query.promql else [] for query in panel.queries
    ]
    title = panel.title
    for name, values in drawing.choice.values.items():
        title = title.replace(f"${name}", ", ".join(values))
    inner = Box(12, 30, width - 24, height - 40)
    content = (
        _DRAWERS[panel.kind](Drawn(panel, _in_order(panel, answers), drawing.span, drawing.units), inner)
        if any(answers)
        else text(width / 2, height / 2 + 8, panel.empty or "no data", "faint", anchor="middle")
    )
    return (
        f'<g transform="translate({x:.1f},{y:.1f})"><title>{escape(panel.description)}</title>'
        f'<rect class="panel" width="{width:.1f}" height="{height:.1f}" rx="3"/>'
        f"{text(12, 20, title, 'title')}{content}</g>"
    )


def _in_order(panel: Panel, answers: list[list[Series]]) -> list[list[Series]]:
    """Each answer's series by their labels; bars by their length first, as their query ranks them."""
    return [
        sorted(
            found,
            key=lambda one: (-float(one.values[-1]) if panel.kind == "bargauge" else 0.0, sorted(one.labels.items())),
        )
        for found in answers
    ]
