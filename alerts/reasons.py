"""Stage 7 of 7: why an alarm opened, as one sentence that a person reads."""

from __future__ import annotations

import math
from collections.abc import Mapping

from devices.records import SeriesRecord


def sentence(
    series: SeriesRecord, value: float, score: float, band: tuple[float, float, float], parts: Mapping[str, float]
) -> str:
    """What was seen, what was expected, how rare it is, and what says so.

    `band` is expected, lower, upper in the series' unit, NaN where unknown; `parts` is decades by contributor,
    largest first.
    """
    unit = f" {series.unit}" if series.unit else ""
    text = f"{series.metric} {value:.6g}{unit}"
    expected, lower, upper = band
    if not math.isnan(expected):
        text += f", expected {expected:.6g}{unit}"
    if not math.isnan(lower) and not math.isnan(upper):
        text += f" ({lower:.6g} to {upper:.6g})"
    text += f"; about one reading in {_rounded(10**score)} is this odd"
    if parts:
        text += " by " + ", ".join(list(parts)[:3])
    return text


def _rounded(count: float) -> str:
    names = ((1e12, "trillion"), (1e9, "billion"), (1e6, "million"), (1e3, "thousand"))
    for size, name in names:
        if count >= size:
            return f"{count / size:.0f} {name}"
    return f"{count:.0f}"
