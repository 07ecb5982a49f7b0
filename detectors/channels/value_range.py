"""Score: range: how far a reading lies outside everything that its series showed, in compiled form.

The one rule that needs no history: a reading of ten times the greatest ever seen is wrong, from the fiftieth reading
on, at any hour, whatever the other channels have learned. Readings that were taken for faults do not widen the range.

Cost: about 10 ns a reading. Memory: 40 bytes a series.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.compiled import njit
from detectors.fleet_detector import Column

FULL_EXCESS = 0.5
"""How far beyond the range, in ranges, a reading has to lie for the readings within it to count in full."""
STEEPNESS = 4.0
"""Decades for each tenfold distance: a lone reading of ten times the range speaks at a reading a second too."""


class RangeState(NamedTuple):
    """Per slot: the least and greatest reading taken for normal, how many there were, share that repeat the last."""

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    inside: NDArray[np.float64]
    last: NDArray[np.float64]
    still: NDArray[np.float64]


LAYOUT = {name: Column(np.float64) for name in RangeState._fields}


@njit(allocates=False)
def range_score(state: Any, slot: int, value: float) -> float:
    """Decades of a reading outside the range; 0 within it, and before the second reading."""
    low, high, inside = state.low[slot], state.high[slot], state.inside[slot]
    excess = max(low - value, value - high)
    if inside < 2.0 or excess <= 0.0:
        return 0.0
    width = high - low
    if width <= 0.0:
        return math.log10(inside + 2.0)
    ratio = excess / width
    return float(math.log10(inside + 1.0) * min(1.0, ratio / FULL_EXCESS) + STEEPNESS * math.log10(1.0 + ratio))


@njit(allocates=False)
def range_learn(state: Any, slot: int, value: float, normal: bool) -> None:
    """Count the reading, and widen the range by it where it is `normal`."""
    inside = state.inside[slot]
    if inside == 0.0:
        state.low[slot] = value
        state.high[slot] = value
        state.last[slot] = value
    same = 1.0 if value == state.last[slot] and inside > 0.0 else 0.0
    state.still[slot] += max(0.002, 1.0 / (inside + 1.0)) * (same - state.still[slot])
    state.last[slot] = value
    if normal:
        state.low[slot] = min(state.low[slot], value)
        state.high[slot] = max(state.high[slot], value)
        state.inside[slot] = inside + 1.0
