"""Score: range: how far a reading lies outside everything that its series showed, in compiled form.

The one rule that needs no history: a reading of ten times the greatest ever seen is wrong, from the fiftieth reading
on, at any hour, whatever the other channels have learned. Readings that were taken for faults do not widen the range.

Cost: about 10 ns a reading. Memory: 72 bytes a series.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from common.compiled import subkernel
from detectors.fleet_detector import Column
from detectors.statistics.calendar_time import DAY

FULL_EXCESS = 0.5
"""How far beyond the range, in ranges, a reading has to lie for the readings within it to count in full."""
STEEPNESS = 4.0
"""Decades for each tenfold distance: a lone reading of ten times the range speaks at a reading a second too."""
YOUNG = DAY
YOUNG_FULL_EXCESS, YOUNG_STEEPNESS = 4.0, 2.5
"""The same of a series' first reading; at the age YOUNG they have become the others. Before that what was seen is not
yet the whole of what is normal: no night, no shift, no start has been seen."""

CELLS, EACH = 24, 61
"""Cells of a histogram of readings, of which one in EACH is counted: a prime, so that no hour of a day is left out."""
ASLEEP_SHARE = 0.5
"""What may have been off since its first reading has come down to this share of its range."""
SPREAD_AFTER = 200.0
"""Readings after which the range is known well enough to be cut into cells."""
COUNTED = 60
"""Counts from which on modes are told: some days at a reading a minute."""
MODE_SHARE, VALLEY = 0.03, 0.15
"""A mode has this share of the readings; between two modes there are at most so many, of those of the smaller."""
MODE_COUNTS = 12.0
"""Counts that a mode has at least where a band is told: fewer lie apart by chance."""


LAYOUT = {
    **{name: Column(np.float64) for name in ("low", "high", "inside", "last", "still")},
    "floor": Column(np.float32),
    "width": Column(np.float32),
    "cells": Column(np.uint8, (CELLS,)),
}
"""A series' record: the least and greatest reading taken for normal, how many there were, the share that
repeat the last; the lower edge of the histogram, the width of its cells (0: not begun), and its counts."""


@subkernel
def _cell(state: Any, value: float) -> int:
    """The cell of a value, -1 where there is none."""
    place = (value - state.floor) / state.width if state.width > 0.0 else -1.0
    return int(place) if 0.0 <= place < CELLS else -1


@subkernel
def _widen(state: Any, value: float) -> None:
    """Make the cells twice as wide, towards `value`: they are merged in pairs."""
    for k in range(CELLS // 2):
        state.cells[k] = min(int(state.cells[2 * k]) + int(state.cells[2 * k + 1]), 255)
    for k in range(CELLS // 2):
        if value < state.floor:
            state.cells[CELLS // 2 + k] = state.cells[k]
            state.cells[k] = 0
        else:
            state.cells[CELLS // 2 + k] = 0
    if value < state.floor:
        state.floor -= np.float32(CELLS) * state.width
    state.width *= np.float32(2.0)


@subkernel
def _count_cell(state: Any, value: float) -> None:
    """Count a reading within the range; old counts fade by halves when one is full."""
    if state.width == 0.0:
        if state.inside < SPREAD_AFTER or not state.high > state.low:
            return
        state.floor = np.float32(state.low - 0.1 * (state.high - state.low))
        state.width = np.float32(1.2 * (state.high - state.low) / CELLS)
    place = _cell(state, value)
    if place < 0 and 0.0 < state.width < 1e30 and abs(value) < 1e30:
        _widen(state, value)
        place = _cell(state, value)
    if place < 0:
        return
    if state.cells[place] == 255:
        for k in range(CELLS):
            state.cells[k] //= 2
    state.cells[place] += 1


@subkernel
def _around(state: Any, place: int) -> int:
    """Readings in a cell and its neighbours."""
    count = 0
    for k in range(max(place - 1, 0), min(place + 2, CELLS)):
        count += int(state.cells[k])
    return count


@subkernel
def modes_apart(state: Any, before: float, value: float) -> bool:
    """Whether `before` and `value` lie in two modes of the series: many readings at both, hardly any between."""
    first, last = _cell(state, before), _cell(state, value)
    if first < 0 or last < 0 or abs(first - last) < 3:
        return False
    total = 0
    for k in range(CELLS):
        total += int(state.cells[k])
    least = min(_around(state, first), _around(state, last))
    between = least
    for k in range(min(first, last) + 1, max(first, last) - 1):
        between = min(between, int(state.cells[k]) + int(state.cells[k + 1]))
    return bool(total >= COUNTED and least >= MODE_SHARE * total and between < VALLEY * least)


@subkernel
def _nearest_mode(state: Any, place: int, least: float) -> int:
    """The cell nearest to `place` in which, with its neighbours, there are `least` readings; -1 where there is none."""
    for distance in range(CELLS):
        below, above = place - distance, place + distance
        first, second = _around(state, below) if below >= 0 else 0, _around(state, above) if above < CELLS else 0
        if max(first, second) >= least:
            return below if first >= second else above
    return -1


@subkernel
def _mode_end(state: Any, place: int, step: int, least: float) -> int:
    """The last cell of the mode at `place`, going by `step`: before a valley with another mode behind it."""
    peak, lowest, at = _around(state, place), 1 << 30, place
    k = place + step
    while 0 <= k < CELLS:
        between = int(state.cells[k]) + int(state.cells[k - step])
        if between < lowest:
            lowest, at = between, k - step
        here = _around(state, k)
        if here >= least and lowest < VALLEY * min(peak, here):
            while at != place and state.cells[at] == 0:
                at -= step
            return at
        peak = max(peak, here)
        k += step
    return k - step


@subkernel
def mode_around(state: Any, value: float) -> tuple[float, float]:
    """The least and the greatest of what was seen in the mode that `value` is in or nearest to.

    A series without modes has one, its range. Before anything was seen there is no bound.
    """
    low, high = state.low, state.high
    if state.inside < 2.0:
        return -math.inf, math.inf
    total = 0
    for k in range(CELLS):
        total += int(state.cells[k])
    if total < COUNTED or not state.width > 0.0:
        return low, high
    least = max(MODE_SHARE * total, MODE_COUNTS)
    place = int(min(max((value - state.floor) / state.width, 0.0), CELLS - 1.0))
    place = _nearest_mode(state, place, least)
    if place >= 0:
        first, last = _mode_end(state, place, -1, least), _mode_end(state, place, 1, least)
        low = max(low, float(state.floor + first * state.width)) if first > 0 else low
        high = min(high, float(state.floor + (last + 1) * state.width)) if last < CELLS - 1 else high
    return low, high


@subkernel
def is_asleep(state: Any, age: int) -> bool:
    """Whether a series less than a day old may have been switched off all the time: it has come down to about 0.

    What it will show once it is switched on is not known: a motor's first start is no fault. `age` in ns.
    """
    return bool(age < YOUNG and 0.0 <= state.low <= ASLEEP_SHARE * (state.high - state.low))


@subkernel
def range_score(state: Any, value: float, age: int) -> float:
    """Decades of a reading outside the range, of a series `age` ns old; 0 within it, and before the second reading."""
    low, high, inside = state.low, state.high, state.inside
    excess = max(low - value, value - high)
    if inside < 2.0 or excess <= 0.0:
        return 0.0
    width = high - low
    if width <= 0.0:
        return math.log10(inside + 2.0)
    ratio = excess / width
    young = max(0.0, 1.0 - age / YOUNG)
    full = FULL_EXCESS + young * (YOUNG_FULL_EXCESS - FULL_EXCESS)
    steepness = STEEPNESS + young * (YOUNG_STEEPNESS - STEEPNESS)
    return float(math.log10(inside + 1.0) * min(1.0, ratio / full) + steepness * math.log10(1.0 + ratio))


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
    if normal and int(inside) % EACH == 0 and state.low <= value <= state.high:
        _count_cell(state, value)
    if normal:
        state.low = min(state.low, value)
        state.high = max(state.high, value)
        state.inside = inside + 1.0
