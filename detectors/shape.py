"""Score: shape novelty: how far the last stretch of readings is from the most similar earlier stretch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from common.compiled import njit, subkernel
from detectors.detector import Scores
from detectors.fleet_detector import Column
from detectors.part import PartDetector
from detectors.statistics.calibration import BINS, Prior, clamp, compress, decades, learn_score
from detectors.statistics.period import LAYOUT as PERIOD_LAYOUT
from detectors.statistics.period import period_halve, period_learn

HISTORY = 1700
"""Averages kept: at 12 to 24 a half period, between 35 and 70 periods."""
PLAIN_BLOCK = 4
"""Readings in a block while no period is known."""
FINEST, COARSEST = 12, 24
"""A block is half a period in FINEST to COARSEST averages: enough to draw its shape, few enough to compare
quickly."""
LIMIT = 1e15
"""Offsets are cut to this, so that their squares stay finite in float32."""


LAYOUT = {
    "origin": Column(np.float64),
    "started": Column(np.bool_),
    "averages": Column(np.float32, (HISTORY,)),
    "means": Column(np.float32, (HISTORY,)),
    "kept": Column(np.int32),
    "step": Column(np.int32, fill=1),
    "block": Column(np.int32, fill=PLAIN_BLOCK),
    "sum": Column(np.float64),
    "summed": Column(np.int32),
    "energy": Column(np.float64),
    "blocks": Column(np.float64),
    "held": Column(np.float64),
}
"""A series' record: averages over `step` readings in time order, the mean of the block that ends at each, and running
sums."""

# Distances in units of a usual block's own size: 1 in 100 of a typical series' blocks is as far from all others as
# it is big, and the square law follows from distances in several dimensions having steep tails.
PRIOR = Prior(start=0.1, shape=2.0, weight=1000.0, lowest=-10.0)


@subkernel
def _offset(state: Any, value: float) -> float:
    return float(min(max(value - state.origin, -LIMIT), LIMIT))


@subkernel(inline="always", fastmath=True)
def _nearest(averages: Any, means: Any, block: Any, last: int) -> float:
    """Smallest squared distance of the mean-free `block` to the mean-free blocks that end at or before `last`."""
    width = len(block)
    nearest = np.float32(1e38)
    for end in range(width - 1, last + 1):
        distance = np.float32(0.0)
        start = end - width + 1
        mean = means[end]
        for i in range(width):
            gap = averages[start + i] - mean - block[i]
            distance += gap * gap
        nearest = min(nearest, distance)
    return float(nearest)


@subkernel
def shape_score(state: Any, value: float, scratch: Any) -> float:
    """Distance of the block that ends with `value` to its nearest earlier block, over the usual size of a block.

    Between the ends of blocks (where several readings make one average) the last distance stands. `scratch` (COARSEST,)
    float32 is overwritten.
    """
    kept, width, step = state.kept, state.block, state.step
    if state.summed + 1 < step:
        return float(state.held)
    if kept < 2 * width:
        return 0.0
    averages = state.averages
    block = scratch[:width]
    # Loops instead of slices here and below: numba compiles a slice's errors too, which takes it seconds.
    for i in range(width - 1):
        block[i] = averages[kept - width + 1 + i]
    block[width - 1] = (state.sum + _offset(state, value)) / step
    mean = np.float32(0.0)
    for x in block:
        mean += x / width
    for i in range(width):
        block[i] -= mean
    nearest = _nearest(averages, state.means, block, kept - width)
    size = math.sqrt(state.energy / state.blocks) if state.blocks > 0.0 else 0.0
    if size > 0.0:
        return min(math.sqrt(nearest / width) / size, 1e6)
    return 1.0 if nearest > 0.0 else 0.0


@subkernel
def _append(state: Any, average: float) -> None:
    averages, means = state.averages, state.means
    kept, width = state.kept, state.block
    if kept == HISTORY:
        dropped = HISTORY // 4
        for i in range(HISTORY - dropped):
            averages[i] = averages[i + dropped]
            means[i] = means[i + dropped]
        kept -= dropped
    averages[kept] = average
    kept += 1
    state.kept = kept
    if kept < width:
        return
    mean = 0.0
    for i in range(kept - width, kept):
        mean += averages[i] / width
    means[kept - 1] = mean
    energy = 0.0
    for i in range(kept - width, kept):
        energy += (averages[i] - mean) ** 2 / width
    state.energy += energy
    state.blocks += 1.0
    if state.blocks >= 4 * HISTORY:
        state.energy *= 0.5
        state.blocks *= 0.5


@subkernel
def _restart(state: Any, periods: Any) -> None:
    """Cut blocks to the period just found, and begin again from the averages that led to it."""
    half = max(periods.period // 2, PLAIN_BLOCK)
    step = 1
    while half // (2 * step) >= FINEST:
        step *= 2
    state.step = step
    state.block = min(half // step, COARSEST)
    state.kept = 0
    state.sum = 0.0
    state.summed = 0
    state.energy = 0.0
    state.blocks = 0.0
    stride = periods.stride
    if step >= stride:
        times = step // stride
        for i in range(periods.filled // times):
            total = np.float32(0.0)
            for j in range(i * times, (i + 1) * times):
                total += periods.buffer[j]
            _append(state, total / times)


@subkernel
def shape_learn(state: Any, periods: Any, counts: Any, slot: int, value: float, raw: float, prior: Any) -> None:
    """Add `value`, whose `shape_score` was `raw`, to the blocks, to the search for a period and to the calibration.

    The calibration starts anew when the period changes, since distances of other blocks follow another law.
    """
    if not state.started:
        state.started = True
        state.origin = value
    offset = _offset(state, value)
    state.sum += offset
    state.summed += 1
    state.held = raw
    if state.summed >= state.step:
        _append(state, state.sum / state.step)
        state.sum = 0.0
        state.summed = 0
    learn_score(counts, slot, raw, prior)
    if period_learn(periods, offset):
        _restart(state, periods)
        for i in range(BINS + 1):
            counts[slot, i] = 0.0
    period_halve(periods)


class Shape(PartDetector):
    """Distance of the last half period to the most similar earlier one (left discord), calibrated on the series'
    past.

    Blocks are compared after their means are removed, in plain Euclid distance, against the last `HISTORY` averages.
    The period is found online (`detectors.statistics.period`); until then, and where there is none,
    blocks are four readings.

    Works: on faults of shape in periodic or smooth series (a missed beat, a flat top) with values all usual. Fails:
    where every stretch differs from every other (noise), and on a fault that resembles one still in the history. A
    level shift shows only while its edge passes through a block.

    Cost: at most `HISTORY` x block multiplications per average, about 5 us a reading. Memory: 15.9 KiB a slot.
    Source: streaming left matrix profile, Lu et al., Matrix Profile XXIV (DAMP), KDD 2022; averages as in Keogh et
    al., PAA, KAIS 2001.
    """

    name: ClassVar[str] = "shape"
    part_layout: ClassVar[dict[str, Column]] = {**LAYOUT, **PERIOD_LAYOUT}
    record_parts: ClassVar[Mapping[str, int]] = {"": 0}

    def run(self, rows: tuple[Any, Any, Any], scores: Scores) -> None:
        """Score and learn the rows in order."""
        arrays = self.arrays
        scratch = np.zeros(COARSEST, np.float32)
        _run(*rows, self.records[""], arrays["learned"], arrays["counts"], self.needed, PRIOR, scratch, scores.score)


@njit
def _run(
    slots: Any, values: Any, learns: Any, records: Any, learned: Any, counts: Any, needed: int, prior: Any,
    scratch: Any, scores: Any,
) -> None:  # fmt: skip
    for i in range(len(slots)):
        if not np.isfinite(values[i]):
            continue
        slot, value = slots[i], clamp(values[i])
        state = records[slot]
        raw = shape_score(state, value, scratch)
        if learned[slot] >= needed:
            scores[i] = compress(decades(counts, slot, raw, prior))
        if learns[i]:
            shape_learn(state, state, counts, slot, value, raw, prior)
            learned[slot] += 1
