"""Score: range: how far a reading lies outside everything that its series showed, in compiled form.

The one rule that needs no history: a reading of ten times the greatest ever seen is wrong, from the fiftieth reading
on, at any hour, whatever the other channels have learned. Readings that were taken for faults do not widen the range.

Cost: about 10 ns a reading. Memory: 40 bytes a series.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from common.compiled import subkernel
from detectors.fleet_detector import Column

FULL_EXCESS = 0.5
"""How far beyond the range, in ranges, a reading has to lie for the readings within it to count in full."""
STEEPNESS = 4.0
"""Decades for each tenfold distance: a lone reading of ten times the range speaks at a reading a second too."""


LAYOUT = {name: Column(np.float64) for name in ("low", "high", "inside", "last", "still")}
"""A series' record: the least and greatest reading taken for normal, how many there were, the share that
repeat the last."""


@subkernel
def range_score(state: Any, value: float) -> float:
    """Decades of a reading outside the range; 0 within it, and before the second reading."""
    low, high, inside = state.low, state.high, state.inside
    excess = max(low - value, value - high)
    if inside < 2.0 or excess <= 0.0:
        return 0.0
    width = high - low
    if width <= 0.0:
        return math.log10(inside + 2.0)
    ratio = excess / width
    return float(math.log10(inside + 1.0) * min(1.0, ratio / FULL_EXCESS) + STEEPNESS * math.log10(1.0 + ratio))


@subkernel
def range_learn(state: Any, value: float, normal: bool) -> None:
    """Count the reading, and widen the range by it where it is `normal`."""
    inside = state.inside
    if inside == 0.0:
        state.low = value
        state.high = value
        state.last = value
    same = 1.0 if value == state.last and inside > 0.0 else 0.0
    state.still += max(0.002, 1.0 / (inside + 1.0)) * (same - state.still)
    state.last = value
    if normal:
        state.low = min(state.low, value)
        state.high = max(state.high, value)
        state.inside = inside + 1.0
