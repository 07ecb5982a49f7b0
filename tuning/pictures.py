"""A backtest drawn as SVG: values, labelled faults and alarms above, scores below."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

WIDTH, VALUES, SCORES, MARGIN = 760, 150, 60, 26
"""Pixels: of the plot's width, of the two panels' heights, and between them."""
_HEIGHT = VALUES + SCORES + 3 * MARGIN
_HIGHEST_SCORE = 8.0


def draw(
    title: str,
    value: NDArray[np.float64],
    score: NDArray[np.float64],
    openings: Sequence[int],
    windows: Sequence[tuple[int, int]],
    *,
    first: int = 0,
    last: int | None = None,
    tolerance: int = 0,
) -> str:
    """SVG of rows `first` to `last` (all where not given) of n rows.

    `value` and `score` are (n,); `openings` the rows at which alarms opened, drawn as triangles, green within
    `tolerance` rows of a fault, else red; `windows` the first and last row of each labelled fault, shaded.
    """
    last = len(value) - 1 if last is None else last
    shown = slice(first, last + 1)

    def across(row: float) -> float:
        return round(MARGIN + (WIDTH - 2 * MARGIN) * (row - first) / max(last - first, 1), 1)

    finite = value[shown][np.isfinite(value[shown])]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    top, bottom = MARGIN, MARGIN + VALUES
    base = 2 * MARGIN + VALUES + SCORES
    shapes = []
    for left, right in windows:
        if right >= first and left <= last:
            x, end = across(max(left, first)), across(min(right, last))
            shapes.append(
                f'<rect x="{x}" y="{top}" width="{max(end - x, 1.5):.1f}" height="{base - top}" class="fault"/>'
            )
    columns = WIDTH - 2 * MARGIN
    values = _places(value[shown], columns, low, high, bottom, VALUES)
    scores = _places(np.minimum(score[shown], _HIGHEST_SCORE), columns, 0.0, _HIGHEST_SCORE, base, SCORES)
    shapes += [f'<path d="{values}" class="value"/>', f'<path d="{scores}" class="score"/>']
    for row in openings:
        if first <= row <= last:
            inside = any(left - tolerance <= row <= right + tolerance for left, right in windows)
            x = across(row)
            kind = "hit" if inside else "false"
            shapes.append(f'<path d="M{x} {bottom + 4}l5 9h-10z" class="{kind}"/>')
    labels = [
        f'<text x="{MARGIN}" y="17" class="title">{escape(title)}</text>',
        f'<text x="{WIDTH - MARGIN}" y="17" text-anchor="end">{low:.4g} to {high:.4g}</text>',
        f'<text x="{MARGIN}" y="{base + 16}">rows {first} to {last}; below: score, 0 to {_HIGHEST_SCORE:g}</text>',
    ]
    style = (
        "text{font:12px sans-serif;fill:#444}.title{font-weight:bold;fill:#111}.fault{fill:#f6c26b;opacity:.45}"
        ".value{fill:none;stroke:#2b5c8a;stroke-width:1}.score{fill:none;stroke:#7a3f9d;stroke-width:1}"
        ".hit{fill:#1d8348}.false{fill:#c0392b}"
    )
    size = f'width="{WIDTH}" height="{_HEIGHT}" viewBox="0 0 {WIDTH} {_HEIGHT}"'
    body = "\n".join([*shapes, *labels])
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{escape(title)}">\n'
        f'<style>{style}</style>\n<rect width="100%" height="100%" fill="#fff"/>\n{body}\n</svg>\n'
    )


def _places(series: NDArray[np.float64], columns: int, low: float, high: float, bottom: float, height: float) -> str:
    """A path through the lowest and highest value of each pixel's column, so that no spike is lost."""
    # Shares of the span, since a scale of pixels a unit is infinite where the span is next to nothing.
    span = high - low if high > low else math.inf
    moves = []
    count = min(columns, len(series))
    # Edges at even distances: columns of four rows first and of three then would bend the axis of time.
    edges = np.linspace(0, len(series), count + 1).astype(np.intp)
    for column in range(count):
        part = series[edges[column] : edges[column + 1]]
        present = part[np.isfinite(part)]
        if not len(present):
            continue
        x = MARGIN + columns * (column + 0.5) / count
        ends = (present.min(), present.max()) if len(present) > 1 else (present[0],)
        if len(ends) == 2 and present[0] > present[-1]:
            ends = ends[::-1]
        moves += [f"{x:.1f} {bottom - height * ((float(end) - low) / span):.1f}" for end in ends]
    return "M" + "L".join(moves) if moves else "M0 0"
