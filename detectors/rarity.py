"""Score: rarity: how little of a series' past lies where the reading lies."""

from __future__ import annotations

import math
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.compiled import njit
from detectors.detector import Scores
from detectors.fleet_detector import Column
from detectors.part import PartDetector
from detectors.statistics.calibration import Prior, clamp, compress, decades, learn_score

CELLS = 64
MEMORY = 20_000.0
"""Readings after which the histogram is halved, so that what stopped happening fades."""


class RarityState(NamedTuple):
    """Per slot: a histogram of `CELLS` equal cells from `low`, each `width` wide; `total` readings.

    `width` 0 means that only one value, `low`, was seen so far.
    """

    low: NDArray[np.float64]
    width: NDArray[np.float64]
    total: NDArray[np.float64]
    cells: NDArray[np.float32]


LAYOUT = {
    "low": Column(np.float64),
    "width": Column(np.float64),
    "total": Column(np.float64),
    "cells": Column(np.float32, (CELLS,)),
}

# The raw score is one over the share of readings in cells no fuller than this one: a probability by construction, so
# its prior tail is 1 / x.
PRIOR = Prior(start=1.0, shape=1.0, weight=200.0, lowest=0.0)


@njit
def _smoothed(cells: Any, cell: int) -> float:
    """Readings in the cell and its two neighbours: a single cell's count jitters too much to be ranked."""
    count = 0.0
    for i in range(max(cell - 1, 0), min(cell + 2, CELLS)):
        count += cells[i]
    return count


@njit
def rarity_score(state: Any, slot: int, value: float) -> float:
    """One over the share of earlier readings that lie in cells no fuller than the reading's own."""
    total = state.total[slot]
    width = state.width[slot]
    if width == 0.0:
        return 1.0 if total == 0.0 or value == state.low[slot] else float(total + 1.0)
    cells = state.cells[slot]
    place = (value - state.low[slot]) / width
    if not -1.0 <= place < CELLS + 1.0:
        return float(total + 1.0)
    return float((total + 1.0) / (_rarer(cells, _smoothed(cells, math.floor(place))) + 1.0))


@njit(fastmath={"reassoc"})
def _rarer(cells: Any, own: float) -> float:
    """Readings in cells whose smoothed count is at most `own`. Counts add up exactly, so their order is free."""
    rarer = 0.0
    for i in range(1, CELLS - 1):
        count = np.float64(cells[i])
        rarer += count if np.float64(cells[i - 1]) + count + np.float64(cells[i + 1]) <= own else 0.0
    for i in (0, CELLS - 1):
        if _smoothed(cells, i) <= own:
            rarer += cells[i]
    return rarer


@njit
def _double(cells: Any, below: bool) -> None:
    """Merge neighbouring cells, leaving the freed half below or above."""
    half = CELLS // 2
    if below:
        for i in range(CELLS - 1, half - 1, -1):
            cells[i] = cells[2 * i - CELLS] + cells[2 * i - CELLS + 1]
        for i in range(half):
            cells[i] = 0.0
    else:
        for i in range(half):
            cells[i] = cells[2 * i] + cells[2 * i + 1]
        for i in range(half, CELLS):
            cells[i] = 0.0


@njit
def rarity_learn(state: Any, slot: int, value: float) -> None:
    """Count `value`; the histogram's width doubles until it covers the value."""
    cells = state.cells[slot]
    if state.total[slot] == 0.0:
        state.low[slot] = value
    if state.width[slot] == 0.0:
        if value == state.low[slot]:
            state.total[slot] += 1.0
            return
        only = state.low[slot]
        width = abs(value - only) * 4.0 / CELLS
        if not 0.0 < width < 1e300:
            return
        state.width[slot] = width
        state.low[slot] = only - width * (CELLS // 2)
        cells[CELLS // 2] = state.total[slot]
    place = (value - state.low[slot]) / state.width[slot]
    while not 0.0 <= place < CELLS:
        if state.width[slot] > 1e300:
            return
        _double(cells, place < 0.0)
        if place < 0.0:
            state.low[slot] -= state.width[slot] * CELLS
        state.width[slot] *= 2.0
        place = (value - state.low[slot]) / state.width[slot]
    cells[int(place)] += 1.0
    state.total[slot] += 1.0
    if state.total[slot] >= MEMORY:
        for i in range(CELLS):
            cells[i] *= 0.5
        state.total[slot] *= 0.5


class Rarity(PartDetector):
    """The share of earlier readings in places as empty as the reading's, calibrated on the series' own past.

    Works: on readings in sparse regions, inside or outside of the usual range, and keeps scoring a fault's value
    while it stays rare. Fails: on faults within the usual distribution; one huge outlier coarsens the histogram
    until readings in its old range share few cells. A level shift stops being rare as its share of the last readings
    grows.

    Cost: about 0.2 us a reading. Memory: 0.4 KiB a slot. Source: histogram-based outlier score, Goldstein and
    Dengel, KI 2012, made online by doubling the range.
    """

    name: ClassVar[str] = "rarity"
    part_layout: ClassVar[dict[str, Column]] = LAYOUT

    def run(self, rows: tuple[Any, Any, Any], scores: Scores) -> None:
        """Score and learn the rows in order."""
        arrays = self.arrays
        state = RarityState(*(arrays[name] for name in LAYOUT))
        _run(*rows, state, arrays["learned"], arrays["counts"], self.needed, PRIOR, scores.score)


@njit
def _run(
    slots: Any, values: Any, learns: Any, state: Any, learned: Any, counts: Any, needed: int, prior: Any, scores: Any
) -> None:
    for i in range(len(slots)):
        if not np.isfinite(values[i]):
            continue
        slot, value = slots[i], clamp(values[i])
        raw = rarity_score(state, slot, value)
        if learned[slot] >= needed:
            scores[i] = compress(decades(counts, slot, raw, prior))
        if learns[i]:
            rarity_learn(state, slot, value)
            learn_score(counts, slot, raw, prior)
            learned[slot] += 1
